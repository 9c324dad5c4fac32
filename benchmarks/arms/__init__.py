"""Paths of arms, and what joins one chunk to the next."""
