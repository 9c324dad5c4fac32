"""Policies that were trained with LeRobot, from the folders that its `save_pretrained` writes."""
