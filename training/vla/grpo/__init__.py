"""Group relative policy optimisation with 0/1 rewards: `ferry train grpo`."""
