"""Exported policies: bundle, manifest, onnxruntime, REST server and client. No torch.

What is public stands beside this file: `manifest`, `graph_inputs` and `manifest_parts` say what a policy is, `bundle`
loads one, `onnx_policy` runs it in this process, `serve` serves it, `client` asks a server, `errors` names what may go
wrong. The wings hold the parts: `files/`, `onnx/`, `serving/`, `wire/`, `images/`.

The robot's side imports `policy_server.client` alone; it needs neither onnxruntime nor FastAPI.
"""
