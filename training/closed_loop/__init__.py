"""Policies at work in simulated houses: rollouts, and success rates from them."""
