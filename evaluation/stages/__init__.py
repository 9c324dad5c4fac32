"""Environments of trials: the twin, or a real robot with a person who judges."""
