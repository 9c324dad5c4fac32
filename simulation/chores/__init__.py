"""CHORES episode files, read and written."""
