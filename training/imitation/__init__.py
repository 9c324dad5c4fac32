"""Imitation learning: collecting demonstrations, behaviour cloning, DAgger."""
