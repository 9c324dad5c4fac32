"""Meshes: reading, welding, simplifying, and a cache that several processes share."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from simulation.errors import MeshError
from simulation.robot_models.meshes import Mesh, cache_directory, cached_mesh, convex_hull, read_stl, simplified

RE1_MESHES = Path(str(metadata.distribution("hello-robot-stretch-urdf").locate_file("stretch_urdf/RE1V0/meshes")))
HEAD = RE1_MESHES / "link_head.STL"

CUBE_M = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
CUBE_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]], np.int32,
)  # fmt: skip


def write_stl(path: Path, vertices_m: np.ndarray, faces: np.ndarray) -> Path:
    records = np.zeros(len(faces), np.dtype([("n", "<f4", 3), ("c", "<f4", (3, 3)), ("a", "<u2")]))
    records["c"] = vertices_m[faces]
    path.write_bytes(bytes(80) + len(faces).to_bytes(4, "little") + records.tobytes())
    return path


def volume_m3(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices_m[mesh.faces[:, k]].astype(float) for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cached_mesh.cache_clear()
    return tmp_path / "cache" / "ferry" / "meshes" / "v1"


def test_reading_welds_the_corners(tmp_path: Path) -> None:
    mesh = read_stl(write_stl(tmp_path / "cube.stl", CUBE_M, CUBE_FACES))
    assert mesh.vertices_m.shape == (8, 3)
    assert mesh.faces.shape == (12, 3)
    assert abs(volume_m3(mesh)) == pytest.approx(1.0)


def test_welding_drops_triangles_without_area(tmp_path: Path) -> None:
    sliver = np.vstack([CUBE_FACES, [[0, 0, 1]]]).astype(np.int32)
    assert len(read_stl(write_stl(tmp_path / "cube.stl", CUBE_M, sliver)).faces) == 12


def test_a_truncated_file_says_what_is_missing(tmp_path: Path) -> None:
    path = write_stl(tmp_path / "cube.stl", CUBE_M, CUBE_FACES)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MeshError, match=r"cube\.stl: got 200 bytes, expected a binary STL \(684 bytes for its 12"):
        read_stl(path)


def test_a_text_file_is_no_mesh(tmp_path: Path) -> None:
    (tmp_path / "cube.stl").write_text("solid cube\nendsolid cube\n")
    with pytest.raises(MeshError, match="expected a binary STL"):
        read_stl(tmp_path / "cube.stl")


def test_simplifying_keeps_the_shape() -> None:
    whole = read_stl(RE1_MESHES / "link_gripper.STL")
    small = simplified(whole, 300)
    assert 100 < len(small.faces) <= 300 < len(whole.faces)
    np.testing.assert_allclose(small.vertices_m.min(0), whole.vertices_m.min(0), atol=0.006)
    np.testing.assert_allclose(small.vertices_m.max(0), whole.vertices_m.max(0), atol=0.006)


def test_a_small_mesh_stays_as_it_is() -> None:
    cube = Mesh(CUBE_M, CUBE_FACES)
    assert simplified(cube, 12) is cube


def test_the_convex_hull_holds_every_vertex_and_faces_outwards() -> None:
    whole = read_stl(HEAD)
    hull = convex_hull(whole)
    assert volume_m3(hull) > abs(volume_m3(whole))
    a, b, c = (hull.vertices_m[hull.faces[:, k]].astype(float) for k in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    beyond_m = whole.vertices_m.astype(float) @ normals.T - np.einsum("ij,ij->i", a, normals)
    assert beyond_m.max() < 1e-4


def test_the_cache_is_read_again(cache: Path) -> None:
    first = cached_mesh(HEAD, 400, "v1")
    (stored,) = cache.iterdir()
    assert stored.name == "link_head-400.npz"
    before = stored.stat().st_mtime_ns
    cached_mesh.cache_clear()
    again = cached_mesh(HEAD, 400, "v1")
    assert stored.stat().st_mtime_ns == before
    np.testing.assert_array_equal(again.vertices_m, first.vertices_m)


@pytest.mark.parametrize("damage", ["empty", "garbage", "cut", "other arrays", "bad index"])
def test_a_damaged_cache_file_is_made_again(cache: Path, damage: str) -> None:
    first = cached_mesh(HEAD, 400, "v1")
    (stored,) = cache.iterdir()
    if damage == "other arrays":
        np.savez(stored, something=np.zeros(3))
    elif damage == "bad index":
        np.savez(stored, vertices_m=first.vertices_m, faces=first.faces + len(first.vertices_m))
    else:
        stored.write_bytes({"empty": b"", "garbage": b"not a zip" * 50, "cut": stored.read_bytes()[:300]}[damage])
    cached_mesh.cache_clear()
    np.testing.assert_array_equal(cached_mesh(HEAD, 400, "v1").faces, first.faces)
    with np.load(stored) as whole:
        np.testing.assert_array_equal(whole["faces"], first.faces)


def test_budget_hull_and_release_have_files_of_their_own(cache: Path) -> None:
    for max_faces, version, hull in ((400, "v1", False), (300, "v1", False), (300, "v1", True), (400, "v2", False)):
        cached_mesh(HEAD, max_faces, version, hull=hull)
    assert {path.name for path in cache.iterdir()} == {
        "link_head-400.npz", "link_head-300.npz", "link_head-300-hull.npz",
    }  # fmt: skip
    assert [path.name for path in (cache.parent / "v2").iterdir()] == ["link_head-400.npz"]


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cached_mesh.cache_clear()
    assert len(cached_mesh(HEAD, 400, "v1").faces) > 100


def test_many_writers_at_once_leave_one_whole_file(cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        meshes = list(pool.map(lambda _: cached_mesh.__wrapped__(HEAD, 400, "v1"), range(4)))
    assert [path.name for path in cache.iterdir()] == ["link_head-400.npz"]
    for mesh in meshes:
        np.testing.assert_array_equal(mesh.faces, meshes[0].faces)


def test_another_process_finds_the_same_mesh(cache: Path) -> None:
    mine = cached_mesh(HEAD, 400, "v1")
    code = (
        "import sys; from pathlib import Path; from simulation.robot_models.meshes import cached_mesh\n"
        "print(len(cached_mesh(Path(sys.argv[1]), 400, 'v1').faces))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(HEAD)], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) == len(mine.faces)


def test_the_cache_lies_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_directory() == Path.home() / ".cache" / "ferry"
