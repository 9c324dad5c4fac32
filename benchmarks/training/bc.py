"""Decisions per second of behaviour cloning, for both policy sizes, on this machine.

    python -m benchmarks.training.bc

The batches are made of random features in the shape of the real ones, episodes of real lengths packed as in training;
forward, loss, backward, clipping and the optimiser's update are timed, reading and packing included. The image encoder
is frozen and its features are stored, so it takes no part in behaviour cloning. An epoch of `mini` has about 300,000
decisions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import tyro

from benchmarks.machine import cpu
from training.data.packing import Instructions, collate, epoch_batches
from training.data.shards import Episodes
from training.imitation.loss import batch_logits, imitation_loss
from training.models.config import PRESETS, PolicyConfig, preset
from training.models.spoc import SpocPolicy
from training.models.tokenizer import instructions, tokenizer_for
from training.runtime.checkpoint import new_policy


@dataclass(frozen=True)
class Benchmark:
    """Measures behaviour cloning."""

    sizes: tuple[str, ...] = tuple(sorted(PRESETS))
    """Policy sizes to measure."""
    updates: tuple[int, ...] = (20, 3)
    """Updates that are timed, for each size."""
    rows: tuple[int, ...] = (4, 1)
    """Rows per update, for each size."""
    context: int = 256
    """Steps per row."""
    threads: int = os.cpu_count() or 1
    """Torch threads."""
    bf16: bool = True
    """Matrix products in bfloat16, as in training."""


def main() -> None:
    """Prints one line per size."""
    options = tyro.cli(Benchmark)
    torch.set_num_threads(options.threads)
    print(f"{cpu()}, {os.cpu_count()} cores, {options.threads} threads, torch {torch.__version__}")
    print(f"{'size':<10}{'trained':>10}{'decisions/s':>13}{'ms/update':>11}{'slowest':>9}{'decisions/update':>18}")
    for name, updates, rows in zip(options.sizes, options.updates, options.rows, strict=True):
        print(measure(preset(name, weights=""), updates, rows, options))


def measure(config: PolicyConfig, updates: int, rows: int, options: Benchmark) -> str:
    """Measures `updates` updates after one that is not counted; returns a line of the table."""
    policy = new_policy(config).train()
    trained = [one for one in policy.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(trained, 1e-4)
    episodes = random_episodes(config, steps=rows * options.context * 4)
    words = Instructions(episodes, tokenizer_for(config.text))
    spent_s, decisions = [], []
    for batch_rows in forever(episodes, options.context, rows):
        begin_s = time.perf_counter()
        decisions.append(update(policy, optimiser, episodes, words, batch_rows, options))
        spent_s.append(time.perf_counter() - begin_s)
        if len(spent_s) == updates + 1:
            break
    total_s, count = sum(spent_s[1:]), sum(decisions[1:])
    million = sum(one.numel() for one in trained) / 1e6
    mean_ms, slowest_ms = 1e3 * total_s / updates, 1e3 * max(spent_s[1:])
    return (
        f"{config.name:<10}{million:>8.2f} M{count / total_s:>13.0f}{mean_ms:>11.0f}{slowest_ms:>9.0f}"
        f"{count / updates:>18.0f}"
    )


def update(
    policy: SpocPolicy,
    optimiser: torch.optim.Optimizer,
    episodes: Episodes,
    words: Instructions,
    rows: list[list[int]],
    options: Benchmark,
) -> int:
    """Makes one update as `ferry train bc` does; returns its number of decisions."""
    batch = collate(episodes, words, rows, options.context)
    with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
        logits = batch_logits(policy, batch, words)
    loss = imitation_loss(logits, batch.labels)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimiser.step()
    return int((batch.trajectory >= 0).sum())


def forever(episodes: Episodes, context: int, rows: int) -> Iterator[list[list[int]]]:
    """Full batches, epoch after epoch."""
    epoch = 0
    while True:
        yield from (one for one in epoch_batches(episodes, (0, epoch), context, rows) if len(one) == rows)
        epoch += 1


def random_episodes(config: PolicyConfig, steps: int) -> Episodes:
    """About `steps` decisions of noise, in episodes of 10 to 60."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(10, 61, size=max(1, steps // 35)).astype(np.int64)
    total = int(lengths.sum())
    shape = (total, len(config.cameras), config.image.tokens, config.image.token_width)
    labels = rng.integers(0, len(config.actions), total).astype(np.uint8)
    previous = rng.integers(0, len(config.actions), total).astype(np.uint8)
    texts = tuple(rng.choice(instructions(), size=len(lengths)).tolist())
    features = rng.standard_normal(shape, np.float32).astype(np.float16)
    starts = np.cumsum(lengths) - lengths
    return Episodes(features, labels, previous, np.zeros(total, np.uint8), starts, lengths, texts)


if __name__ == "__main__":
    main()
