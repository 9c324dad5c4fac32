"""Statistics of trials: intervals, comparisons, sequential decisions, power."""
