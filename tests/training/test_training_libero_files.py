"""LIBERO's published demonstrations are read as what they hold, and trained on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from tfrecord import TFRecordWriter

from simulation.errors import DemonstrationError
from simulation.libero.published_files import read_hdf5
from simulation.libero.rlds_files import read_rlds
from training.errors import DataError
from training.vla.sft.data import read_demonstrations
from training.vla.sft.sft import main

STEPS, SIZE = 12, 64
TASK = "pick_up_the_black_bowl_and_place_it_on_the_plate"
GRIPPER = np.r_[[-1.0] * 6, [1.0] * 6]


def images() -> np.ndarray:
    """(T, S, S, 3) bottom row first, as they are stored: the step's number as grey, the top row white."""
    stored = np.zeros((STEPS, SIZE, SIZE, 3), np.uint8)
    stored += np.arange(STEPS, dtype=np.uint8)[:, None, None, None]
    stored[:, -1] = 255
    return stored


def write(path: Path, own: bool, success: bool = True) -> Path:
    """A file as LIBERO's `create_dataset.py` lays it out, or (not `own`) OpenVLA's `regenerate_libero_dataset.py`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        if own:
            problem = {"problem_name": "libero_tabletop", "language_instruction": TASK.replace("_", " ")}
            data.attrs.update(problem_info=json.dumps(problem), num_demos=2, macros_image_convention="opengl")
        for number in (10, 9):  # in the order of numbers, not of names
            demo = data.create_group(f"demo_{number}")
            actions = np.zeros((STEPS, 7))
            actions[:, 0], actions[:, 6] = 0.01 * np.arange(STEPS) * (np.arange(STEPS) != 3), GRIPPER
            demo.create_dataset("actions", data=actions)
            demo.create_dataset("dones", data=np.r_[np.zeros(STEPS - 1, np.uint8), np.uint8(success)])
            observed = demo.create_group("obs")
            observed.create_dataset("agentview_rgb", data=images())
            for name, width in (("ee_pos", 3), ("ee_ori", 3), ("gripper_states", 2)):
                observed.create_dataset(name, data=np.full((STEPS, width), float(number)))
    return path


def test_its_own_files_show_what_follows_an_action_and_are_paired_anew(tmp_path: Path) -> None:
    one, other = read_hdf5(write(tmp_path / "libero_spatial" / f"{TASK}_demo.hdf5", own=True))
    assert (one.suite, one.instruction, one.success) == ("libero_spatial", TASK.replace("_", " "), True)
    assert (one.proprio[0, 0], other.proprio[0, 0]) == (9.0, 10.0)
    np.testing.assert_array_equal(one.images[:, -1, 0, 0], np.arange(STEPS - 1))
    np.testing.assert_allclose(one.actions[:, 0], 0.01 * np.arange(1, STEPS) * (np.arange(1, STEPS) != 3), atol=1e-7)


def test_regenerated_files_are_paired_already(tmp_path: Path) -> None:
    name = f"KITCHEN_SCENE10_{TASK}_demo.hdf5"
    one, _ = read_hdf5(write(tmp_path / "libero_10" / name, own=False))
    assert one.instruction == TASK.replace("_", " ")
    np.testing.assert_array_equal(one.images[:, -1, 0, 0], np.arange(STEPS))
    assert len(one.actions) == STEPS


def test_images_stand_upright(tmp_path: Path) -> None:
    one, _ = read_hdf5(write(tmp_path / "libero_goal" / f"{TASK}_demo.hdf5", own=False))
    assert (one.images[:, 0] == 255).all()
    assert (one.images[:, 1:] < 255).all()


def test_actions_that_do_nothing_are_left_out_but_not_what_moves_the_gripper(tmp_path: Path) -> None:
    path = write(tmp_path / "libero_goal" / f"{TASK}_demo.hdf5", own=False)
    one, _ = read_hdf5(path, drop_idle=True)
    np.testing.assert_array_equal(one.images[:, -1, 0, 0], [1, 2, 4, 5, 6, 7, 8, 9, 10, 11])
    assert one.actions[4, 6] == 1.0


@pytest.mark.parametrize("broken", ["text", "empty", "short", "other"])
def test_what_is_no_such_file_is_reported(broken: str, tmp_path: Path) -> None:
    path = tmp_path / f"{TASK}_demo.hdf5"
    if broken == "text":
        path.write_text("no HDF5")
    else:
        write(path, own=True)
        with h5py.File(path, "r+") as file:
            del file["data/demo_9/obs/ee_pos" if broken == "other" else "data/demo_9/actions"]
            if broken == "short":
                file["data/demo_9"].create_dataset("actions", data=np.zeros((3, 7)))
    with pytest.raises(DemonstrationError) as caught:
        list(read_hdf5(path))
    assert str(path) in str(caught.value)


def test_a_policy_trains_on_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "downloads" / "libero_spatial"
    write(folder / f"{TASK}_demo.hdf5", own=True)
    write(folder / "open_the_drawer_demo.hdf5", own=False)
    write(folder / "failed_demo.hdf5", own=False, success=False)
    assert len(read_demonstrations([folder])) == 4
    assert len(read_demonstrations([folder], each=1)) == 2
    words = ["--run", str(tmp_path / "run"), "--data", str(tmp_path / "downloads"), "--drop-idle"]
    assert main([*words, "--updates", "2", "--threads", "1", "--device", "cpu"]) == 0
    assert "after 2 updates" in capsys.readouterr().out
    with pytest.raises(DataError):
        read_demonstrations([tmp_path / "nowhere"])


def write_rlds(path: Path, episodes: int = 2) -> Path:
    """A file as OpenVLA's RLDS builder lays it out: its images are LIBERO's stored ones turned by 180 degrees."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = images()
    stored[:, :, 0] = (200, 0, 0)
    turned = [cv2.imencode(".png", image[::-1, ::-1, ::-1])[1].tobytes() for image in stored]
    writer = TFRecordWriter(str(path))
    for episode in range(episodes):
        actions = np.zeros((STEPS, 7), np.float32)
        actions[:, 0] = np.arange(STEPS)
        writer.write(
            {
                "steps/observation/image": (turned, "byte"),
                "steps/language_instruction": ([TASK.replace("_", " ").encode()] * STEPS, "byte"),
                "steps/action": (actions.ravel(), "float"),
                "steps/observation/state": (np.full(STEPS * 8, float(episode), np.float32), "float"),
            }
        )
    writer.close()
    return path


RLDS = "libero_spatial_no_noops/1.0.0/libero_spatial-train.tfrecord-00000-of-00016"


def test_rlds_episodes_are_read_and_not_mirrored(tmp_path: Path) -> None:
    one, other = read_rlds(write_rlds(tmp_path / RLDS))
    assert (one.suite, one.instruction) == ("libero_spatial", TASK.replace("_", " "))
    assert (one.proprio[0, 0], other.proprio[0, 0]) == (0.0, 1.0)
    np.testing.assert_array_equal(one.actions[:, 0], np.arange(STEPS))
    assert (one.images[:, 0, 1:] == 255).all()  # the stored image's last row is on top
    assert (one.images[:, :, 0] == (200, 0, 0)).all()  # and its left column is on the left
    assert len(read_demonstrations([tmp_path])) == 2


@pytest.mark.parametrize("broken", ["text", "cut", "damaged", "other"])
def test_what_is_no_rlds_file_is_reported(broken: str, tmp_path: Path) -> None:
    path = write_rlds(tmp_path / RLDS)
    content = path.read_bytes()
    if broken == "other":
        writer = TFRecordWriter(str(path))
        writer.write({"image": ([b"x"], "byte")})
        writer.close()
    else:
        middle = len(content) // 2
        damaged = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"text": b"no TFRecord, but a text", "cut": content[:-20], "damaged": damaged}[broken])
    with pytest.raises(DemonstrationError) as caught:
        list(read_rlds(path))
    assert str(path) in str(caught.value)
