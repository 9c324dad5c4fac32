"""A Piper without hardware, on a CAN bus."""
