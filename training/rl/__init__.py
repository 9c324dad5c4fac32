"""Reinforcement learning: PPO, SAC, JSRL and PIRLNav, and what they share."""
