"""What a trial leaves behind: its record, its video, the folder of a run."""
