"""A Piper at a table with a cube."""
