"""Reinforcement learning: PPO, SAC, JSRL and PIRLNav, and their common parts."""
