"""Graphs of `small_3` for `big_policy`: as exported, apart, with fewer tokens, and in int8; and two recorded episodes.

Weights are random: no trained policy of this size is at hand. The episodes are the expert's, in the simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from torch import Tensor, nn
from torch.nn import functional

from training.data.recording import record_episode
from training.export.onnx_graphs import CACHE, INPUTS, OUTPUTS, write_graph, write_policy_graph
from training.models.config import ImageConfig, preset
from training.models.image_encoder import DinoEncoder, average_matrix, pooling_matrix
from training.models.spoc import SpocPolicy, Text
from training.models.tokenizer import encode, tokenizer_for
from training.runtime.checkpoint import new_policy

Arrays = dict[str, Any]  # of numpy
KINDS = ("query", "key", "value", "out", "up", "down")
"""The matrix products of one block of DINOv2 that have weights, in the order of its graph."""
MERGED_AFTER = 4
"""Blocks of twelve that see every patch, where tokens are merged."""
CALIBRATION = 8  # observations


class Rest(nn.Module):
    """One step of the policy without its image encoder."""

    def __init__(self, policy: SpocPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(
        self, tokens: Tensor, text: Tensor, state: Tensor, previous: Tensor, step: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """tokens (1, cameras, K, C); the others as in `PolicyStep`."""
        return self.policy.step(tokens, Text(text), previous, state, step, keys, values)


class FewerTokens(nn.Module):
    """DINOv2 whose patches become fewer after some blocks: `mixing` (T, patches), `pooling` (K, T)."""

    def __init__(self, dino: DinoEncoder, after: int, mixing: Tensor, pooling: Tensor) -> None:
        super().__init__()
        self.dino, self.after = dino, after
        self.register_buffer("mixing", mixing)
        self.register_buffer("pooling", pooling)

    def forward(self, images: Tensor) -> Tensor:
        """As `DinoEncoder.forward`."""
        height, width = self.dino.size
        top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
        model = self.dino.model
        x = model.embeddings.patch_embeddings(self.dino.normalise(images[:, top : top + height, left : left + width]))
        x = torch.cat([model.embeddings.cls_token.expand(len(x), -1, -1), x], 1) + self.dino.get_buffer("position")
        for number, layer in enumerate(model.encoder.layer):
            if number == self.after:
                x = torch.cat([x[:, :1], self.get_buffer("mixing") @ x[:, 1:]], 1)
            x = layer(x)
        out: Tensor = self.get_buffer("pooling") @ model.layernorm(x)[:, 1:]
        return out


class HalfSize(nn.Module):
    """DINOv2 on images of half the height and width."""

    def __init__(self, dino: DinoEncoder, config: ImageConfig) -> None:
        super().__init__()
        self.dino = DinoEncoder(replace(config, height=config.height // 2, width=config.width // 2))
        self.dino.load_state_dict(dino.state_dict())

    def forward(self, images: Tensor) -> Tensor:
        """As `DinoEncoder.forward`."""
        halved = functional.avg_pool2d(images.permute(0, 3, 1, 2).float(), 2).permute(0, 2, 3, 1)
        out: Tensor = self.dino(halved)
        return out


def fewer(policy: SpocPolicy) -> dict[str, nn.Module]:
    """Image encoders that compute less, by name."""
    dino, config = policy.image_encoder, policy.config.image
    assert isinstance(dino, DinoEncoder)
    rows, columns = dino.grid
    whole = pooling_matrix(dino.grid, config)
    kept = [row * columns + column for row in range(rows) for column in range(columns) if (row + column) % 2]
    pooling = whole[:, kept]
    half = FewerTokens(dino, 0, torch.eye(rows * columns)[kept], pooling / pooling.sum(1, keepdim=True))
    made: dict[str, nn.Module] = {"half": half, "small": HalfSize(dino, config)}
    for name, grid in (("pairs", (rows, -(-columns // 2))), ("fours", (rows // 2, -(-columns // 2)))):
        mixing = torch.kron(average_matrix(rows, grid[0]), average_matrix(columns, grid[1]))
        made[name] = FewerTokens(dino, MERGED_AFTER, mixing, pooling_matrix(grid, config))
    return made


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write, which becomes `path` once it is whole."""
    part = path.with_name(f"part.{path.name}")
    yield part
    part.replace(path)


def write_graphs(folder: Path, steps: int) -> None:
    """Writes every graph and two episodes of `steps` steps into `folder`; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    policy = new_policy(preset("small_3", weights="")).eval()
    writers: dict[str, Callable[[Path], None]] = {
        "episode.npz": lambda path: np.savez(path, **record(policy, "val", steps)),
        "encoder.onnx": lambda path: write_encoder(policy.image_encoder, policy, path),
        "rest.onnx": lambda path: write_rest(policy, path),
        "whole.onnx": lambda path: write_policy_graph(policy, path),
        "encoder.int8.onnx": lambda path: write_dynamic(folder / "encoder.onnx", path),
        "rest.int8.onnx": lambda path: write_dynamic(folder / "rest.onnx", path),
        **{f"{name}.onnx": partial(write_encoder, one, policy) for name, one in fewer(policy).items()},
        "fours.int8.onnx": lambda path: write_dynamic(folder / "fours.onnx", path),
        "calibration.npz": lambda path: np.savez(path, **record(policy, "train", steps)),
        "encoder.static.onnx": lambda path: write_static(folder, (), path),
        **{f"encoder.but_{kind}.onnx": partial(write_static, folder, (kind,)) for kind in reversed(KINDS)},
    }
    for name, write in writers.items():
        if not (folder / name).exists():
            with whole(folder / name) as path:
                write(path)
            print(f"{folder / name}", flush=True)


def write_encoder(encoder: nn.Module, policy: SpocPolicy, path: Path) -> None:
    """Writes the graph of an image encoder, for any number of images."""
    height, width = policy.config.image.height, policy.config.image.width
    images = torch.randint(0, 255, (2, height, width, 3), dtype=torch.uint8)
    write_graph(encoder, (images,), ({0: torch.export.Dim.DYNAMIC},), ("images",), ("tokens",), path)
    _forget_shapes(path)


def write_rest(policy: SpocPolicy, path: Path) -> None:
    """Writes the graph of everything behind the image encoder."""
    image, (layers, heads, size), any_size = policy.config.image, policy.heads, torch.export.Dim.DYNAMIC
    tokens = torch.randn(1, len(policy.config.cameras), image.tokens, image.token_width)
    cache, number = torch.randn(layers, 1, heads, 3, size), torch.zeros(1, dtype=torch.int64)
    text = torch.randn(1, 5, policy.config.text.width)
    example = (tokens, text, torch.zeros(1, 1), number, number.clone(), cache, cache.clone())
    dynamic: Any = ({}, {1: any_size}, {}, {}, {}, {3: any_size}, {3: any_size})
    write_graph(Rest(policy), example, dynamic, ("tokens", *INPUTS, *CACHE), OUTPUTS, path)
    _forget_shapes(path)


def record(policy: SpocPolicy, split: str, steps: int) -> Arrays:
    """Records the expert in a house of `split`: the policy's inputs, stacked."""
    config = policy.config
    recording = record_episode(config.spec(), config.tokens, steps=steps, split=split)
    with torch.no_grad():
        text = policy.text(*encode(tokenizer_for(config.text), [recording.instruction])[:1]).features.numpy()
    images = {name: np.stack([step.images[name] for step in recording.steps]) for name in config.cameras}
    state = np.stack([step.state for step in recording.steps])
    previous = np.array([step.previous_action for step in recording.steps], np.int64)
    return {**images, "text_features": text, "state": state, "previous_action": previous}


def write_dynamic(source: Path, path: Path) -> None:
    """Writes a graph with its products in int8 where one factor is a weight; the other is scaled as it comes."""
    quantize_dynamic(source, path, op_types_to_quantize=["MatMul"], per_channel=True)


def _forget_shapes(path: Path) -> None:
    """Removes a graph's inferred shapes, which onnxruntime's quantiser takes for contradictory."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    onnx.save(model, path)


def write_static(folder: Path, left_out: tuple[str, ...], path: Path) -> None:
    """Writes the encoder with its products in int8 but for some kinds, scaled by what the calibration episode has."""
    source = folder / "encoder.onnx"
    model = onnx.load(source)
    weights = {tensor.name for tensor in model.graph.initializer}
    products = [node.name for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    if len(products) != len(KINDS) * preset("small_3").image.layers:
        raise ValueError(f"encoder.onnx: got {len(products)} products with weights, expected {len(KINDS)} a block")
    taken = [name for place, name in enumerate(products) if KINDS[place % len(KINDS)] not in left_out]
    quantize_static(
        source,
        path,
        Calibration(folder),
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=taken,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibration_cache_path=folder / "ranges.json",
        extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": ["MatMul"]},
    )


class Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Pairs of images from the calibration episode, evenly spaced."""

    def __init__(self, folder: Path) -> None:
        episode = np.load(folder / "calibration.npz")
        cameras = [episode[name] for name in preset("small_3").cameras]
        every = max(1, len(cameras[0]) // CALIBRATION)
        self._pairs: Iterator[Arrays] = iter({"images": np.stack(pair)} for pair in list(zip(*cameras))[::every])

    def get_next(self) -> Arrays | None:
        """The next pair, or None."""
        return next(self._pairs, None)
