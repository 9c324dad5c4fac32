"""Cameras: where images come from, when one counts as frozen, and the letterbox to a declared angle."""
