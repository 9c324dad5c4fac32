"""Small meshes: closed, facing outwards, and of the size they were asked for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from simulation.houses.objects.shapes import Shape, chamfered_box, handle, lathe, leaves, merged, panel

CYLINDER = [(0.0, 0.0), (0.5, 0.0), (0.5, 2.0), (0.0, 2.0)]
CUP = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.4, 1.0), (0.4, 0.1), (0.0, 0.1)]


def volume(shape: Shape) -> float:
    """Volume [m^3] that the faces enclose; negative when they face inwards."""
    a, b, c = (shape.vertices_m[shape.faces[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def is_closed(shape: Shape) -> bool:
    """Whether each edge is run along once in each direction."""
    edges = Counter((int(f[k]), int(f[(k + 1) % 3])) for f in shape.faces for k in range(3))
    return all(count == 1 and edges[b, a] == 1 for (a, b), count in edges.items())


class TestLathe:
    def test_it_is_closed_and_faces_outwards(self) -> None:
        shape = lathe(CYLINDER, 32)
        assert is_closed(shape)
        assert volume(shape) == pytest.approx(np.pi * 0.5**2 * 2.0, rel=0.01)

    def test_an_open_vessel_holds_less_than_its_outside(self) -> None:
        shape = lathe(CUP, 32)
        assert is_closed(shape)
        assert volume(shape) == pytest.approx(np.pi * (0.25 - 0.16 * 0.9), rel=0.01)

    def test_a_tip_is_one_vertex(self) -> None:
        cone = lathe([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)], 8)
        assert len(cone.vertices_m) == 8 + 2
        assert len(cone.faces) == 2 * 8

    def test_no_face_is_degenerate(self) -> None:
        shape = lathe(CUP, 10)
        a, b, c = (shape.vertices_m[shape.faces[:, k]] for k in range(3))
        assert np.linalg.norm(np.cross(b - a, c - a), axis=1).min() > 1e-6

    def test_it_is_as_wide_and_tall_as_its_profile(self) -> None:
        shape = lathe(CYLINDER, 16)
        np.testing.assert_allclose(np.ptp(shape.vertices_m, axis=0), (1.0, 1.0, 2.0), atol=1e-9)


class TestChamferedBox:
    def test_it_is_closed_and_a_little_less_than_the_box(self) -> None:
        shape = chamfered_box((1.0, 2.0, 0.5), 0.05)
        assert is_closed(shape)
        assert 0.95 < volume(shape) < 1.0

    def test_it_fills_its_box(self) -> None:
        shape = chamfered_box((1.0, 2.0, 0.5), 0.05)
        np.testing.assert_allclose(shape.vertices_m.max(axis=0), (0.5, 1.0, 0.25))
        np.testing.assert_allclose(shape.vertices_m.min(axis=0), (-0.5, -1.0, -0.25))

    def test_a_chamfer_larger_than_the_box_is_cut_back(self) -> None:
        shape = chamfered_box((0.1, 2.0, 0.5), 0.3)
        assert volume(shape) > 0
        assert np.abs(shape.vertices_m).max(axis=0) == pytest.approx((0.05, 1.0, 0.25))


class TestHandle:
    def test_it_bulges_towards_y(self) -> None:
        shape = handle(0.04, 0.01)
        assert shape.vertices_m[:, 1].max() == pytest.approx(0.05, abs=3e-3)
        assert np.ptp(shape.vertices_m[:, 2]) == pytest.approx(0.10, abs=5e-3)
        assert np.abs(shape.vertices_m[:, 0]).max() <= 0.01

    def test_its_tube_faces_outwards(self) -> None:
        shape = handle(0.04, 0.01, steps=9, sides=8)
        a, b, c = (shape.vertices_m[shape.faces[:, k]] for k in range(3))
        middle, normal = (a + b + c) / 3, np.cross(b - a, c - a)
        ring = middle * (0.0, 1.0, 1.0)
        ring *= 0.04 / np.linalg.norm(ring, axis=1, keepdims=True)
        assert (np.einsum("ij,ij->i", middle - ring, normal) > 0).all()


class TestLeaves:
    def test_they_stay_within_radius_and_height(self) -> None:
        shape = leaves(np.random.default_rng(0), 15, 0.25, 0.6, 0.2)
        assert shape.vertices_m[:, 2].min() >= 0.0
        assert shape.vertices_m[:, 2].max() == pytest.approx(0.6)
        assert np.hypot(*shape.vertices_m[:, :2].T).max() <= 0.26

    def test_they_are_seen_from_both_sides(self) -> None:
        shape = leaves(np.random.default_rng(0), 3, 0.25, 0.6, 0.2)
        a, b, c = (shape.vertices_m[shape.faces[:, k]] for k in range(3))
        np.testing.assert_allclose(np.cross(b - a, c - a).sum(axis=0), 0.0, atol=1e-12)

    def test_each_leaf_has_ten_faces(self) -> None:
        assert len(leaves(np.random.default_rng(0), 7, 0.25, 0.6, 0.2).faces) == 70


class TestPanel:
    def test_it_faces_forwards(self) -> None:
        shape = panel(0.4, 0.2)
        a, b, c = (shape.vertices_m[shape.faces[:, k]] for k in range(3))
        assert (np.cross(b - a, c - a)[:, 0] > 0).all()

    def test_it_has_its_size(self) -> None:
        np.testing.assert_allclose(np.ptp(panel(0.4, 0.2).vertices_m, axis=0), (0.0, 0.4, 0.2))

    def test_its_picture_stands_upright_and_is_not_mirrored(self) -> None:
        shape = panel(0.4, 0.2)
        assert shape.texture_uv is not None
        top_left_seen_from_the_front = shape.vertices_m[(shape.texture_uv == (0, 0)).all(axis=1)]
        np.testing.assert_allclose(top_left_seen_from_the_front, [(0.0, -0.2, 0.1)])


class TestTogether:
    def test_merging_keeps_every_face(self) -> None:
        one, two = lathe(CYLINDER, 6), chamfered_box((1.0, 1.0, 1.0), 0.1).moved((3.0, 0.0, 0.0))
        both = merged([one, two])
        assert len(both.faces) == len(one.faces) + len(two.faces)
        assert volume(both) == pytest.approx(volume(one) + volume(two))

    def test_moving(self) -> None:
        moved = panel(1.0, 1.0).moved((1.0, 2.0, 3.0))
        np.testing.assert_allclose(moved.vertices_m.mean(axis=0), (1.0, 2.0, 3.0))
        assert moved.texture_uv is not None

    def test_stretching(self) -> None:
        assert volume(lathe(CYLINDER, 32).scaled((2.0, 1.0, 0.5))) == pytest.approx(np.pi / 2, rel=0.01)
