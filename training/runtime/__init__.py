"""What every training needs: checkpoints, ranks, progress, files of torch."""
