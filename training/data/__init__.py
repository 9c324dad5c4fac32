"""Demonstrations on disk: recording, shards, packing, and what a network reads."""
