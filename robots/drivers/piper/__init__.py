"""The Piper arm on its CAN bus, through piper_sdk."""
