"""Infrastructure of every training: checkpoints, ranks, progress, torch files."""
