"""Ferry's server in the words of other projects: their original clients are answered, with all of Ferry's checks."""
