"""Supervised fine-tuning on demonstrations: `ferry train sft`."""
