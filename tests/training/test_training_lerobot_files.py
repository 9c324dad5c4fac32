"""LeRobotDatasets of LIBERO's Panda, as the public ones lay them out, are read as what they hold, and trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if any(find_spec(name) is None for name in ("pyarrow", "av")):
    pytest.skip("needs the extra `dataset`", allow_module_level=True)

import av
import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from robots.embodiments.panda import HAND, PANDA
from robots.processes.scheduling import Scheduling
from simulation.libero.chunk_rows import rows_of
from training.data.lerobot_dataset import LeRobotDataset
from training.errors import DataError
from training.vla.sft.data import read_demonstrations
from training.vla.sft.lerobot_demonstrations import PublicLayout, read_lerobot
from training.vla.sft.sft import main

STEPS, SIZE, FPS = 6, 64, 10
GRIPPER = np.r_[[-1.0] * 3, [1.0] * 3]
MOTORS = ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]
TASKS = ("pick up the bowl", "open the drawer")


def frame(episode: int, step: int) -> np.ndarray:
    """(S, S, 3): grey by episode and step, its left half red."""
    image = np.full((SIZE, SIZE, 3), 40 + 100 * episode + 10 * step, np.uint8)
    image[:, : SIZE // 2] = (200, 0, 0)
    return image


@dataclass
class Layout:
    """What a public dataset of LIBERO may look like; two episodes of `STEPS` frames."""

    cameras: tuple[str, ...] = ("image", "image2")
    kind: str = "image"
    version: str = "v3.0"
    state: np.ndarray = field(default_factory=lambda: np.tile(np.r_[0.1, 0.2, 1.1, 3.1, 0, 0, 0.02, -0.02], (STEPS, 1)))
    actions: np.ndarray = field(
        default_factory=lambda: np.column_stack([np.eye(6)[:, [1, 0, 2, 3, 4, 5]] * 0.5, GRIPPER])
    )
    action_names: Any = field(default_factory=lambda: {"motors": MOTORS})
    state_names: Any = field(default_factory=lambda: {"motors": [*MOTORS, "gripper"]})
    origin: Any = None


def write(root: Path, layout: Layout) -> Path:
    """Writes the layout by hand, not with Ferry's own writer."""
    numbers = {"dtype": "float32"}
    features: dict[str, Any] = {
        "observation.state": {**numbers, "shape": [layout.state.shape[1]], "names": layout.state_names},
        "action": {**numbers, "shape": [layout.actions.shape[1]], "names": layout.action_names},
        **{f"observation.images.{n}": {"dtype": layout.kind, "shape": [SIZE, SIZE, 3]} for n in layout.cameras},
    }
    columns: dict[str, Any] = {
        "observation.state": np.tile(layout.state, (2, 1)).astype(np.float32).tolist(),
        "action": np.tile(layout.actions, (2, 1)).astype(np.float32).tolist(),
        "episode_index": np.repeat([0, 1], STEPS),
    }
    episodes: list[dict[str, Any]] = [
        {"episode_index": n, "tasks": [TASKS[n]], "length": STEPS, "data/chunk_index": 0, "data/file_index": 0}
        for n in range(2)
    ]
    for name in layout.cameras:
        key, shown = f"observation.images.{name}", [frame(n, step) for n in range(2) for step in range(STEPS)]
        if layout.kind == "image":
            png = [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in shown]
            columns[key] = [{"bytes": data, "path": None} for data in png]
        else:
            video(root / f"videos/{key}/chunk-000/file-000.mp4", shown)
            for one in episodes:
                places = {"chunk_index": 0, "file_index": 0, "from_timestamp": one["episode_index"] * STEPS / FPS}
                one.update({f"videos/{key}/{part}": value for part, value in places.items()})
    info = {"codebase_version": layout.version, "fps": FPS, "features": features}
    info["data_path"] = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    info["video_path"] = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    for folder in ("meta/episodes/chunk-000", "data/chunk-000"):
        (root / folder).mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))
    if layout.origin is not None:
        (root / "meta/ferry.json").write_text(json.dumps(layout.origin))
    pq.write_table(pa.Table.from_pylist(episodes), root / "meta/episodes/chunk-000/file-000.parquet")
    pq.write_table(pa.table(columns), root / "data/chunk-000/file-000.parquet")
    return root


def video(path: Path, images: list[np.ndarray]) -> None:
    """An MP4 whose one key frame is the first image, so that the second episode begins in the middle of a group."""
    path.parent.mkdir(parents=True)
    scheduling = Scheduling()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libsvtav1", rate=FPS, options={"preset": "12", "crf": "20", "g": "60"})
        stream.height, stream.width, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    scheduling.restore()


@pytest.mark.parametrize("kind", ["image", "video"])
def test_public_episodes_are_read_and_mirrored_back(tmp_path: Path, kind: str) -> None:
    root = write(tmp_path / "libero_goal_image", Layout(kind=kind))
    found = list(read_lerobot(root))
    assert [one.instruction for one in found] == list(TASKS)
    assert {(one.suite, one.success) for one in found} == {("libero_goal", True)}
    for number, one in enumerate(found):
        assert one.images.shape == (STEPS, SIZE, SIZE, 3)
        for step, image in enumerate(one.images):
            assert np.abs(image.astype(int) - frame(number, step)[:, ::-1]).mean() < (0.1 if kind == "image" else 6.0)
    np.testing.assert_allclose(found[0].actions, Layout().actions)
    np.testing.assert_allclose(found[1].proprio, Layout().state, atol=1e-6)
    (upright, _) = read_lerobot(root, layout=PublicLayout(upright=True))
    np.testing.assert_array_equal(upright.images, found[0].images[:, :, ::-1])


def test_a_gripper_that_counts_the_other_way_is_told_and_read_on_request(tmp_path: Path) -> None:
    opens = Layout().actions
    opens[:, 6] = 0.5 * (1.0 - opens[:, 6])
    root = write(tmp_path / "libero", Layout(actions=opens))
    with pytest.raises(DataError, match="gripper-opens"):
        list(read_lerobot(root))
    one, _ = read_lerobot(root, layout=PublicLayout(gripper_opens=True))
    np.testing.assert_array_equal(one.actions[:, 6], GRIPPER)
    with pytest.raises(DataError, match="omit gripper-opens"):
        list(read_lerobot(write(tmp_path / "other", Layout()), layout=PublicLayout(gripper_opens=True)))


def test_what_does_nothing_is_left_out_on_request(tmp_path: Path) -> None:
    still = Layout().actions
    still[1, :6] = 0.0
    one, _ = read_lerobot(write(tmp_path / "libero", Layout(actions=still)), drop_idle=True)
    assert len(one.actions) == len(one.images) == STEPS - 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "v2.1"}, "version v2.1"),
        ({"cameras": ("wrist_image",)}, "cameras wrist_image"),
        ({"actions": np.ones((STEPS, 8))}, "8 numbers"),
        ({"actions": Layout().actions * 3}, "got an action of 3"),
        ({"actions": np.column_stack([Layout().state[:, :6] / 4, GRIPPER]),
          "state": Layout().state / 4}, "next place"),
        ({"state": np.ones((STEPS, 7))}, "state of 7 numbers"),
        ({"state_names": {"motors": [f"joint_{n}" for n in range(8)]}}, "joint_0"),
    ],
)  # fmt: skip
def test_another_convention_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_lerobot(write(tmp_path / "libero", replace(Layout(), **change))))


@pytest.mark.parametrize("broken", ["rows", "video", "info", "episodes", "short"])
def test_what_is_damaged_is_told(tmp_path: Path, broken: str) -> None:
    root = write(tmp_path / "libero", Layout(kind="video"))
    file = {
        "rows": root / "data/chunk-000/file-000.parquet",
        "video": root / "videos/observation.images.image/chunk-000/file-000.mp4",
        "info": root / "meta/info.json",
        "episodes": root / "meta/episodes/chunk-000/file-000.parquet",
        "short": root / "data/chunk-000/file-000.parquet",
    }[broken]
    if broken == "short":
        pq.write_table(pq.read_table(file)[: STEPS + 2], file)
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match="libero"):
        list(read_lerobot(root))


def own(outcomes: tuple[str, str]) -> Layout:
    """What `ferry export-dataset` writes of a recorded Panda: SI units, the joints before the hand, images upright."""
    state = np.column_stack([np.zeros((STEPS, 8)), Layout().state])
    return Layout(
        cameras=("agentview",),
        state=state,
        actions=rows_of(Layout().actions),
        action_names=list(PANDA.chunks[0].names),
        state_names=[*PANDA.joints, *HAND.names],
        origin={"bodies": [], "episodes": [{"outcome": one} for one in outcomes]},
    )


def test_ferrys_own_export_of_a_panda_is_read_in_libero_s_units(tmp_path: Path) -> None:
    one, other = read_lerobot(write(tmp_path / "own", own(("success", "failure"))))
    assert (one.success, other.success) == (True, False)
    np.testing.assert_allclose(one.actions, Layout().actions, atol=1e-5)
    np.testing.assert_allclose(one.proprio, Layout().state, atol=1e-6)
    np.testing.assert_array_equal(one.images[2], frame(0, 2))
    with pytest.raises(DataError, match=r"ferry\.json"):
        list(read_lerobot(write(tmp_path / "untold", replace(own(("success", "failure")), origin=None))))
    another = replace(own(("success", "failure")), action_names=[f"delta_{name}" for name in MOTORS])
    with pytest.raises(DataError, match="delta_x"):
        list(read_lerobot(write(tmp_path / "another_arm", another)))


def test_a_policy_trains_on_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "downloads" / "libero_goal", Layout())
    write(tmp_path / "downloads" / "own", own(("success", "failure")))
    assert len(read_demonstrations([tmp_path / "downloads"])) == 3
    words = ["--run", str(tmp_path / "run"), "--data", str(tmp_path / "downloads"), "--updates", "2"]
    assert main([*words, "--threads", "1", "--device", "cpu"]) == 0
    assert "after 2 updates" in capsys.readouterr().out


def test_the_numbers_of_a_feature_have_the_names_that_the_dataset_gives(tmp_path: Path) -> None:
    dataset = LeRobotDataset.open(write(tmp_path / "libero", Layout()))
    assert dataset.names("action") == tuple(MOTORS)
    assert dataset.cameras == ("observation.images.image", "observation.images.image2")
    with pytest.raises(DataError, match=r"observation\.force"):
        dataset.names("observation.force")
