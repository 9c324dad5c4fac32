"""Plans of an evaluation: what is tried, how often, with what."""
