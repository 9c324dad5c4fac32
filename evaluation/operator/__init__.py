"""The operator's page: real trials of a locked plan, run from a phone beside the robot."""
