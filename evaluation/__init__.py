"""Evaluation of policies: plans, trials, the loop that runs them, records, statistics and reports."""
