"""Trials: the page, the records, the statistics."""
