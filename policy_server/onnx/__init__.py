"""ONNX graphs of a policy: their expected inputs and outputs, and the choice of an action from their logits."""
