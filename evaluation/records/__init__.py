"""Output of a trial: its record, its video, the folder of a run."""
