"""Files that are damaged, or are something else: each is refused in one short line, and none is taken for weights."""

from __future__ import annotations

import pickle
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from released_weights import filled, payload, small, write_files
from torch import Tensor

from ferry.cli import main as ferry
from training.errors import CheckpointError
from training.released.main import ImportOptions, import_released
from training.released.read import read_checkpoint
from training.released.releases import RELEASES
from training.runtime.torch_file import read

FLARE, CLONE = small(RELEASES[0]), small(RELEASES[1])
SOME = "last_actions_embed.weight"

Damage = Callable[[Path, bytes], None]


def cut(fraction: float) -> Damage:
    return lambda path, data: path.write_bytes(data[: int(fraction * len(data))]) and None


def hole(path: Path, data: bytes) -> None:
    """Zeros in the middle of the largest weight, as a download that was resumed wrongly has them."""
    with zipfile.ZipFile(path) as file:
        largest = max(file.infolist(), key=lambda one: one.file_size)
    middle = largest.header_offset + largest.file_size // 2
    path.write_bytes(data[:middle] + bytes(1000) + data[middle + 1000 :])


def folder(path: Path, data: bytes) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (hole, r"got bytes in .*data/\d+ that do not match its checksum, .*download it again"),
        (cut(0.999), r"got a file that is cut short \(\d+ bytes\), .*download it again"),
        (cut(0.5), "cut short"),
        (cut(0.001), "cut short"),
        (cut(0.0), "got an empty file"),
        (lambda path, data: path.write_bytes(b"<!DOCTYPE html><html>404</html>") and None, "got a page of HTML or XML"),
        (lambda path, data: path.write_bytes(pickle.dumps([Path])) and None, "file.pt: got "),
        (folder, "got a folder, expected a file"),
        (lambda path, data: path.unlink(), "got no such file"),
    ],
    ids=["hole", "almost", "half", "head", "empty", "page", "pickle", "folder", "gone"],
)
def test_a_file_that_is_not_whole_is_named(tmp_path: Path, damage: Damage, message: str) -> None:
    path = tmp_path / "file.pt"
    torch.save({"model_state_dict": {"a": torch.randn(1000, 3)}}, path)
    damage(path, path.read_bytes())
    with pytest.raises(CheckpointError, match=message) as caught:
        read(path, "a checkpoint")
    assert len(str(caught.value)) < 400 + len(str(path))
    assert ferry(["import", "flare", str(path), "--out", str(tmp_path / "out")]) == 2


def changed(tmp_path: Path, tensors: dict[str, Any], release: Any = FLARE) -> ImportOptions:
    return write_files(release, tmp_path, tensors)


def with_value(value: float) -> dict[str, Tensor]:
    tensors = filled(FLARE)
    tensors[SOME] = tensors[SOME].clone()
    tensors[SOME][3, 1] = value
    return tensors


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (with_value(float("nan")), f"got NaN or infinity in {SOME}"),
        (with_value(float("inf")), f"got NaN or infinity in {SOME}"),
        (filled(FLARE) | {SOME: torch.ones(22, FLARE.config.width, dtype=torch.int64)}, "as torch.int64"),
        (filled(FLARE) | {"epoch": 3}, "got epoch as int, expected tensors"),
        (filled(FLARE) | {SOME: torch.eye(22, FLARE.config.width).to_sparse()}, f"got {SOME} sparse"),
    ],
    ids=["nan", "inf", "integers", "number", "sparse"],
)
def test_what_are_no_weights_is_named(tmp_path: Path, tensors: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        import_released(changed(tmp_path, tensors), (FLARE,))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_width_are_taken(tmp_path: Path, kind: torch.dtype) -> None:
    tensors = {name: one.to(kind) for name, one in filled(FLARE).items()}
    policy = import_released(changed(tmp_path, tensors), (FLARE,)).policy
    given = tensors[SOME].float()
    assert torch.equal(policy.state_dict()["previous_action.weight"], given)


@pytest.mark.parametrize(
    ("release", "prefix", "wrapped"),
    [(FLARE, "", "module."), (CLONE, "model.", "module.model."), (CLONE, "model.", "model.module.")],
)
def test_a_network_that_was_wrapped_for_several_gpus_is_the_same(
    tmp_path: Path, release: Any, prefix: str, wrapped: str
) -> None:
    held = payload(release, filled(release))
    key = next(name for name in ("model_state_dict", "state_dict") if name in held)
    held[key] = {wrapped + name.removeprefix(prefix): one for name, one in held[key].items()}
    torch.save(held, tmp_path / "file.pt")
    assert read_checkpoint(tmp_path / "file.pt").shapes.keys() == filled(release).keys()


def test_a_line_stays_short_however_many_names_are_wrong(tmp_path: Path) -> None:
    names = {f"other.{layer}.part_{part}.weight": torch.ones(1) for layer in range(30) for part in range(40)}
    for held in ({"state_dict": names}, {"model_state_dict": filled(FLARE) | names}):
        torch.save(held, tmp_path / "file.pt")
        with pytest.raises(CheckpointError) as caught:
            import_released(ImportOptions("flare", tmp_path / "file.pt", tmp_path / "out"), (FLARE,))
        assert len(str(caught.value)) < 4000
        assert "more" in str(caught.value)


def test_numbers_of_numpy_are_plain_and_other_objects_are_named_as_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save({"model_state_dict": {"a": torch.ones(1)}, "lr": np.float32(0.1), "seed": np.int32(5)}, path)
    assert read_checkpoint(path).other == ("lr", "seed")
    torch.save({"model_state_dict": {"a": torch.ones(1)}, "more": defaultdict(int)}, path)
    with pytest.raises(CheckpointError, match=r"collections\.defaultdict, which is neither a tensor nor a plain value"):
        read_checkpoint(path)
