"""Rules that a policy server keeps, whoever wrote it, as checks that ask and measure."""
