"""The wires of other projects: openpi and RoboArena (websocket), OpenVLA (HTTP), GR00T (ZeroMQ), as server and client."""
