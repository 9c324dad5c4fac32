"""One torch thread: the networks here are too small for two."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
