"""Export of a checkpoint to a bundle: ONNX graphs, written where they answer as torch does."""
