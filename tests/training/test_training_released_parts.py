"""Parsing of table rows into shapes and names, and splitting and joining of tensors by them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bundles import tiny_manifest
from released_weights import TIME, filled, parameter, shapes, small, write_files
from torch import Tensor

from policy_server.errors import BundleError
from policy_server.manifest import PolicyManifest
from policy_server.manifest_parts import Provenance
from simulation.errors import EpisodeError
from training.errors import CheckpointError
from training.models.spoc import SpocPolicy
from training.released.convert import image_part, policy_of, rename
from training.released.main import Imported, import_released
from training.released.parts import Part, Place, table_of
from training.released.read import read_checkpoint
from training.released.releases import IMAGES, RELEASES, Release
from training.released.tables import image_table, policy_table

FLARE, CLONE, SPOC, SIGLIP = RELEASES
BY_NAME = pytest.mark.parametrize("release", RELEASES, ids=lambda one: str(one.name))
ROWS = """
    wide   3d,d  a.{q,k}.weight
    half   d/2   -
    fixed  7     b[1]
"""


def test_letters_are_sizes_and_layers_repeat() -> None:
    parts = (Part("x.", "y.", ROWS), Part("block.", "layer.", "w d w", layers="deep"))
    assert table_of(parts, {"d": 4}, {"deep": 2}) == {
        "x.wide": Place((12, 4), "y.a.{q,k}.weight"),
        "x.half": Place((2,), "-"),
        "x.fixed": Place((7,), "y.b[1]"),
        "block.0.w": Place((4,), "layer.0.w"),
        "block.1.w": Place((4,), "layer.1.w"),
    }


def test_an_unknown_letter_is_a_mistake_in_the_table() -> None:
    with pytest.raises(KeyError, match="z"):
        table_of((Part("", "", "name 2z ours"),), {"d": 4}, {})


def test_parts_are_taken_in_their_order_and_rows_are_stacked() -> None:
    whole = torch.arange(6.0).view(6, 1)
    tensors = {"qkv": whole, "second": torch.tensor([2.0]), "first": torch.tensor([1.0]), "unread": torch.ones(9)}
    table = {
        "qkv": Place((6, 1), "a.{query,key,value}.weight"),
        "second": Place((1,), "camera[1]"),
        "first": Place((1,), "camera[0]"),
        "unread": Place((9,), "-"),
    }
    out = rename(tensors, table)
    assert sorted(out) == ["a.key.weight", "a.query.weight", "a.value.weight", "camera"]
    assert out["a.query.weight"].flatten().tolist() == [0, 1]
    assert out["a.value.weight"].flatten().tolist() == [4, 5]
    assert out["camera"].flatten().tolist() == [1, 2]


@BY_NAME
def test_the_tables_fill_our_network_and_nothing_else(release: Release) -> None:
    config = small(release).config
    places = policy_table(config, release.head) | image_table(config)
    out = rename({name: torch.zeros(()).expand(place.shape) for name, place in places.items()}, places)
    ours = SpocPolicy(config, 0).state_dict()
    assert out.keys() == ours.keys()
    assert all(out[name].numel() == one.numel() for name, one in ours.items())


@BY_NAME
def test_no_two_parameters_go_to_the_same_place(release: Release) -> None:
    places = [place.ours for place in release.table().values() if place.ours != "-"]
    assert len(set(places)) == len(places)


@BY_NAME
def test_only_the_time_constant_is_no_weight(release: Release) -> None:
    assert [name for name, place in release.table().items() if place.ours == "-"] == [TIME]


def test_the_image_encoder_is_found_in_a_lightning_file() -> None:
    tensors = filled(small(SPOC))
    inside = image_part(tensors)
    assert len(inside) == len(image_table(small(SPOC).config)) == len([one for one in tensors if IMAGES in one])
    assert inside["cls_token"] is tensors[f"{IMAGES}cls_token"]


def imported(release: Release, folder: Path, tensors: dict[str, Tensor] | None = None) -> Imported:
    release = small(release)
    return import_released(write_files(release, folder, tensors), (release,))


def test_an_imported_policy_only_decides(tmp_path: Path) -> None:
    policy = imported(CLONE, tmp_path).policy
    assert not any(one.requires_grad for one in policy.parameters())
    assert not any(one.training for one in policy.modules())
    assert policy.config.tokens.blocked is None


def test_both_cameras_keep_their_own_token(tmp_path: Path) -> None:
    policy = imported(SPOC, tmp_path).policy
    for i, camera in enumerate(policy.config.cameras):
        expected = parameter(f"visual_encoder.visual_sensor_token_raw_{camera}_camera", (policy.config.width,))
        assert torch.equal(policy.visual.camera[i], expected)


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    tensors = filled(small(CLONE))
    halves = {name: one if name == TIME else one.half() for name, one in tensors.items()}
    policy = imported(CLONE, tmp_path, halves).policy
    assert {one.dtype for one in policy.state_dict().values()} == {torch.float32}
    assert torch.allclose(policy.actor.weight, tensors["actor.weight"], atol=1e-3)


def test_files_of_an_older_torch_are_read(tmp_path: Path) -> None:
    tensors = {f"model.{name}": torch.zeros(()).expand(shape) for name, shape in shapes(small(CLONE)).items()}
    torch.save({"state_dict": tensors}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "old.ckpt").shapes == shapes(small(CLONE))


def test_other_names_in_transformers_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = small(CLONE)

    def older(table: dict[str, Place]) -> dict[str, Place]:
        return {name: replace(place, ours=place.ours.replace("o_proj", "dense")) for name, place in table.items()}

    monkeypatch.setattr("training.released.convert.image_table", lambda config: older(image_table(config)))
    tensors = filled(release)
    message = r"transformers [\d.]+: got other names for .*dense.weight.*o_proj.weight"
    with pytest.raises(CheckpointError, match=message):
        policy_of(release, tensors, image_part(tensors), tmp_path)


@pytest.mark.parametrize(("tasks", "horizon"), [(("pick_up",), 600), (("room_visit", "fetch"), 1000)])
def test_it_remembers_the_longest_episode_of_its_tasks(tmp_path: Path, tasks: tuple[str, ...], horizon: int) -> None:
    release = small(CLONE)
    options = replace(write_files(release, tmp_path), task=tasks)
    assert import_released(options, (release,)).policy.config.horizon == horizon


def test_an_unknown_task_is_named(tmp_path: Path) -> None:
    release = small(CLONE)
    options = replace(write_files(release, tmp_path), task=("juggle",))
    with pytest.raises(EpisodeError, match="juggle"):
        import_released(options, (release,))


def test_the_manifest_keeps_where_a_policy_comes_from() -> None:
    origin = Provenance("c0ffee", "d1" * 32, "FLaRe", 1, 2, source_sha256="ab" * 32, left_out=("critic.* (2): value",))
    manifest = replace(tiny_manifest(), provenance=origin)
    assert PolicyManifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
    older = json.loads(json.dumps(manifest.to_json()))
    del older["provenance"]["source_sha256"], older["provenance"]["left_out"]
    assert PolicyManifest.from_json(older).provenance.left_out == ()
    older["provenance"]["left_in"] = 1
    with pytest.raises(BundleError, match="left_in"):
        PolicyManifest.from_json(older)
