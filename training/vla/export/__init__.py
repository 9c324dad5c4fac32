"""The bundle of a policy: ONNX graphs and manifest."""
