"""Exported policies: bundle, manifest, onnxruntime, REST server and client. No torch.

The robot's side imports `policy_server.client` alone; it needs neither onnxruntime nor FastAPI.
"""
