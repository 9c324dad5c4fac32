"""Learning rates over the updates of a training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def lr_factor(schedule: str, total: int, warmup: int) -> Callable[[int], float]:
    """Returns learning rate / peak by update: a linear rise, then a cosine to 0 (onecycle) or constant."""

    def factor(update: int) -> float:
        if update < warmup:
            return (update + 1) / warmup
        if schedule == "constant":
            return 1.0
        progress = min(1.0, (update - warmup) / max(1, total - warmup))
        return 0.5 * (1.0 + float(np.cos(np.pi * progress)))

    return factor
