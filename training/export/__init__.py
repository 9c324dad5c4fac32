"""Export of a checkpoint to a bundle: ONNX graphs, and their parity with torch."""
