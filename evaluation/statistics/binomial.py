"""Chances of a binomial distribution, also for thousands of trials, where factorials overflow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def binomial(n: int, rates: Floats | float) -> Floats:
    """Returns the chance of each number of successes; shape (n + 1,), or (n + 1, k) for k success rates."""
    from scipy.special import gammaln, xlog1py, xlogy

    p, k = np.asarray(rates, np.float64), np.arange(n + 1)
    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    if p.ndim:
        ways, k = ways[:, None], k[:, None]
    chances: Floats = np.exp(ways + xlogy(k, p) + xlog1py(n - k, -p))
    return chances
