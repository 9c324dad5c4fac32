"""Training of policies: networks, imitation and reinforcement learning, and export to a policy bundle."""

import policy_server  # noqa: F401 - before any import of onnxruntime, whose telemetry it turns off
