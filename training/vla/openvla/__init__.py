"""Checkpoints in OpenVLA-OFT's layout: `ferry import openvla-oft` and `simplevla-rl`."""
