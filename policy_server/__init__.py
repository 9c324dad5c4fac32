"""What an exported policy is and how to ask it: bundle, manifest, onnxruntime, REST server, client. No torch.

The robot's side imports `policy_server.client` alone; it needs neither onnxruntime nor FastAPI.
"""
