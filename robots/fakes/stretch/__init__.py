"""A Stretch RE1 without hardware, on serial lines that the real stretch_body opens."""
