"""The tables of the robots that ship: Stretch RE1, LoCoBot, Piper, and arms behind ros2_control."""
