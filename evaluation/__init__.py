"""Whether a policy works: plans, trials, the one loop that runs them, records, statistics and reports."""
