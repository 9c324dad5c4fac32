"""A vision-language-action policy as one ONNX graph: an observation in, a whole chunk of actions out.

Inputs: `image` (1, S, S, 3) uint8, `words` (1, L) int64 of any length, and where the policy sees it `proprio` (1, P)
float32 as measured. Outputs: `actions` (1, chunk, D) float32 in their units, of the most probable tokens; these
`tokens` (1, chunk, D) int64; and `logits` (1, chunk, D, bins). Actions may be converted to another form on the way,
the rows of a robot's chunk for instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

from training.bundles.parity import TOLERANCE, Parity
from training.errors import ExportError
from training.export.onnx_graphs import write_graph
from training.vla.policy.model import VlaPolicy
from training.vla.rollout.world import Seen

OUTPUTS = ("actions", "tokens", "logits")

TIE = 1e-5
"""Two tokens whose logits differ by less are equally probable: rounding decides between them."""


Form = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Converts actions (..., D), each number by itself."""


def unchanged(actions: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Leaves actions as the policy has them."""
    return actions


class ChunkStep(nn.Module):
    """Scales and decodes within the graph, by a table of what each token of each dimension stands for."""

    def __init__(self, policy: VlaPolicy, form: Form = unchanged) -> None:
        super().__init__()
        config, statistics = policy.config, policy.config.proprio
        self.network, self.sees = policy.network, statistics is not None
        every = np.repeat(np.arange(config.bins)[:, None], config.dimensions, axis=1)
        self.register_buffer("table", torch.from_numpy(form(policy.tokenizer.decode(every)).T.copy()))
        low, high = (statistics.low, statistics.high) if statistics is not None else ((), ())
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("span", torch.tensor(high) - torch.tensor(low))

    def forward(self, image: Tensor, words: Tensor, proprio: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """See the module."""
        scaled = torch.zeros(1, 0) if proprio is None else self._scaled(proprio)
        logits = self.network(image, words, scaled)
        tokens = logits.argmax(-1)
        table = self.get_buffer("table").expand(*tokens.shape[:2], -1, -1)
        return table.gather(-1, tokens[..., None])[..., 0], tokens, logits

    def _scaled(self, proprio: Tensor) -> Tensor:
        """As `Statistics.normalise`; a constant dimension becomes 0."""
        span = self.get_buffer("span")
        unit = 2.0 * (proprio - self.get_buffer("low")) / span.clamp(min=1e-12) - 1.0
        return torch.where(span > 0, unit.clamp(-1.0, 1.0), torch.zeros_like(unit))


def write_chunk_graph(policy: VlaPolicy, path: Path, form: Form = unchanged) -> None:
    """Writes the graph; the number of words is dynamic, and actions have the form that `form` gives them."""
    config = policy.config
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, config.image_size, config.image_size, 3), dtype=torch.uint8, generator=generator)
    example: tuple[Tensor, ...] = (image, torch.arange(2, 7)[None] % max(len(config.words) + 2, 7))
    dynamic: tuple[Any, ...] = ({}, {1: torch.export.Dim.DYNAMIC})
    names: tuple[str, ...] = ("image", "words")
    if config.proprio is not None:
        example = (*example, torch.zeros(1, len(config.proprio.low)))
        dynamic, names = (*dynamic, {}), (*names, "proprio")
    write_graph(ChunkStep(policy, form), example, dynamic, names, OUTPUTS, path)


def compare_chunks(
    policy: VlaPolicy,
    path: Path,
    instruction: str,
    observations: Iterable[Seen],
    tolerance: float = TOLERANCE,
    form: Form = unchanged,
) -> dict[str, float]:
    """Runs torch and onnxruntime on observations; returns the largest differences by output.

    Raises:
        ExportError: a token differs and is no tie, its action is another than the tokenizer's, or a logit differs by
            more than `tolerance`.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    words, parity, count = policy.words([instruction]), Parity(), 0
    for count, seen in enumerate(observations, 1):
        image, proprio = np.ascontiguousarray(seen.image)[None], np.asarray(seen.proprio, np.float32)[None]
        with torch.inference_mode():
            logits = policy(torch.from_numpy(image), words, policy.proprio(proprio))[0]
        feed = {"image": image, "words": words.numpy(), **({"proprio": proprio} if policy.config.proprio else {})}
        actions, tokens, got = (output[0] for output in session.run(OUTPUTS, feed))
        parity.add("logits", logits.numpy(), got)
        parity.add("actions", form(policy.tokenizer.decode(tokens)), actions)
        parity.check(tolerance)
        _expect_tokens(logits, torch.from_numpy(tokens), count)
    if not count:
        raise ExportError("observations to compare with: got none, expected at least one")
    if parity.worst["actions"] > 0:
        raise ExportError(
            f"onnx actions: got a difference of {parity.worst['actions']:g} to the tokenizer's, expected 0"
        )
    return parity.worst


def _expect_tokens(logits: Tensor, tokens: Tensor, number: int) -> None:
    lost = logits.max(-1).values - logits.gather(-1, tokens[..., None])[..., 0]
    if float(lost.max()) > TIE:
        raise ExportError(f"onnx tokens of observation {number}: got others than torch's most probable ones")
