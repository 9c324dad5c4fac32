"""The Stretch RE1 through stretch_body, in its own computer."""
