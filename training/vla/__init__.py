"""Vision-language-action policies of action tokens: supervised fine-tuning, then GRPO (SimpleVLA-RL)."""
