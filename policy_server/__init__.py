"""Policies: what one is, bundle, manifest, onnxruntime, REST server and client. No torch.

What is public is beside this file. `policy` is the protocol of whatever answers observations, and `policies` opens
one by address. `manifest`, `graph_inputs` and `manifest_parts` say what a bundle is, `bundle` loads one, `onnx_policy`
runs it in this process, `serve` serves it, `client` asks a server, and `errors` names what may go wrong. The wings hold
the parts: `files/`, `onnx/`, `serving/`, `wire/`, `images/`.

The robot's side imports `policies` and `client`, which need neither onnxruntime nor FastAPI.
"""

import os

# onnxruntime 1.31 writes an identifier and a database of events for its maker below ~/.cache when it is imported, and
# `disable_telemetry_events` comes too late for that. Every import of it in Ferry comes after this one; "0" turns it on.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
