"""Real trials: plan them, keep them, analyse them (`ferry trials`)."""
