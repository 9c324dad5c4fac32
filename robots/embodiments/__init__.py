"""The tables of the bodies that ship: Stretch RE1, LoCoBot, Piper, and arms behind ros2_control."""
