"""Files of a bundle: reading a folder or zip, whole ONNX files, and manifests of schema 1."""
