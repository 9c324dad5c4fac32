"""Grasp check by MuJoCo's dynamics: the fingers close on an object and lift it.

A small separate model of the gripper, in the hand's frame (x along the fingers, y to their left, z up, origin at the
grasp centre): a carriage with two fingers, the object as a free body with its own shape and mass, and its supporting
surface. The carriage approaches with open fingers, stops where the twin's gripper is, closes, and lifts. The object is
held if it has been lifted at the end.

Simplifications: the RE1's fingers are steel springs with rubber cups, here they are stiff and hinged; meshes are
their convex hulls; neighbouring objects are left out; the surface has no edge.
"""

from __future__ import annotations

import itertools
import math

from simulation.rendering import gl  # noqa: F401  (first: it chooses MuJoCo's back-end)

import mujoco  # isort: skip
import numpy as np

from simulation.houses.house import HouseObject
from simulation.twins.grasp_sphere import Hand
from simulation.twins.world import World

MASS_KG = {
    "alarm clock": 0.30, "apple": 0.20, "basketball": 0.60, "bowl": 0.40, "laptop": 1.50, "mug": 0.35,
    "spray bottle": 0.40, "vase": 0.80,
}  # fmt: skip
"""Typical masses. The basketball's is FIBA's (0.57 to 0.65 kg), the others are our estimates."""

OPEN_RAD, SHUT_RAD = 0.33, -0.12
"""Angle of a finger fully open (0.129 m of nominal aperture: 100 % on the scale on which hello-robot-stretch-body
robot_params_RE1V0.py has 0.09 m at 70 %), and beyond the point where the cups meet."""

GRIP_N = 20.0
"""Force at each fingertip, an estimate; the RE1 lifts 1.5 kg at most (its datasheet's payload)."""

RUBBER = (1.0, 0.01, 0.001)
"""Friction of the cups: sliding, torsional [m], rolling [m]; rubber on a dry household object, an estimate."""

_MET_RAD = -0.11  # finger angle with nothing between the cups
_PIVOT_M, _PITCH_RAD, _TO_CUP_M, _CUP_SIDE_M = (-0.158, 0.0102, 0.0914), math.radians(30.0), 0.171, 0.0149
_CUP_M = (0.020, 0.008)  # radius and half thickness
_LIFT_M, _HELD_M = 0.10, 0.06
_BACK_M, _APPROACH_S, _CLOSE_S, _LIFT_S, _HOLD_S = 0.20, 0.7, 0.6, 0.7, 0.4
_STEP_S = 0.002
_FLAT_M, _MOST_RINGS = 0.001, 14


def holds(world: World, hand: Hand, thing: HouseObject) -> bool:
    """Simulates whether a gripper at `hand` that closes on `thing` lifts it; the world is not changed."""
    model = _gripper_and(world, hand, thing).compile()
    data = mujoco.MjData(model)
    body = model.body("thing").id
    data.qpos[:2] = -_BACK_M, 0.0
    data.qpos[2:4] = OPEN_RAD
    mujoco.mj_forward(model, data)
    before_m = float(data.xpos[body, 2])
    grip = -GRIP_N * _TO_CUP_M
    for seconds, ahead, up, shuts in (
        (_APPROACH_S, (-_BACK_M, 0.0), (0.0, 0.0), False),
        (_CLOSE_S, (0.0, 0.0), (0.0, 0.0), True),
        (_LIFT_S, (0.0, 0.0), (0.0, _LIFT_M), True),
        (_HOLD_S, (0.0, 0.0), (_LIFT_M, _LIFT_M), True),
    ):
        steps = round(seconds / _STEP_S)
        for k in range(1, steps + 1):
            fraction = k / steps
            data.ctrl[:2] = ahead[0] + fraction * (ahead[1] - ahead[0]), up[0] + fraction * (up[1] - up[0])
            data.ctrl[2:] = grip if shuts else -0.2 * grip
            mujoco.mj_step(model, data)
    return bool(data.xpos[body, 2] - before_m > _HELD_M) and _is_between(model, data, body)


def _is_between(model: mujoco.MjModel, data: mujoco.MjData, body: int) -> bool:
    """Returns whether the object is between the fingers: both touch it and it keeps them apart."""
    angles = data.qpos[2:4]
    if angles.max() > OPEN_RAD or angles.min() < _MET_RAD:
        return False
    pairs = model.geom_bodyid[data.contact.geom]
    touching = set(pairs[(pairs == body).any(axis=1)].ravel())
    return {model.body("left").id, model.body("right").id} <= touching


def _gripper_and(world: World, hand: Hand, thing: HouseObject) -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    spec.option.timestep = _STEP_S
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    _add_gripper(spec)
    c, s = math.cos(hand.yaw_rad), math.sin(hand.yaw_rad)
    dx, dy, dz = np.array(thing.position_m) - hand.centre_m
    middle = c * dx + s * dy, c * dy - s * dx, dz
    bottom = 0.0, 0.0, dz - thing.size_m[2] / 2
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE, size=(1, 1, 0.1), pos=bottom, contype=2, conaffinity=2
    )  # fmt: skip
    _add_thing(spec, world, thing, middle, thing.yaw_rad - hand.yaw_rad)
    return spec


def _add_gripper(spec: mujoco.MjSpec) -> None:
    """Adds a carriage that moves forwards and up, with two fingers coupled to one servo."""
    carriage = spec.worldbody.add_body(name="carriage", gravcomp=1.0)
    carriage.explicitinertial, carriage.mass, carriage.inertia = True, 1.0, (0.01, 0.01, 0.01)
    for name, axis in (("ahead", (1, 0, 0)), ("up", (0, 0, 1))):
        carriage.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
        drive = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        drive.set_to_position(kp=20000.0, kv=400.0)
    for name, side in (("left", 1.0), ("right", -1.0)):
        _add_finger(spec, carriage, name, side)
    coupling = np.zeros(12)
    coupling[1] = 1.0
    alike = spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, name1="right", name2="left", data=coupling)
    alike.objtype = mujoco.mjtObj.mjOBJ_JOINT


def _add_finger(spec: mujoco.MjSpec, carriage: mujoco.MjsBody, name: str, side: float) -> None:
    x, y, z = _PIVOT_M
    pitch = (math.cos(_PITCH_RAD / 2), 0.0, math.sin(_PITCH_RAD / 2), 0.0)
    finger = carriage.add_body(name=name, pos=(x, side * y, z), quat=pitch, gravcomp=1.0)
    finger.explicitinertial, finger.mass, finger.inertia = True, 0.06, (2e-4, 2e-4, 2e-4)
    finger.ipos = (0.09, side * 0.011, 0.0)
    finger.add_joint(
        name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=(0, 0, side), range=np.rad2deg((SHUT_RAD, OPEN_RAD)),
        limited=True, damping=0.05, armature=0.005, solref_limit=(0.005, 1.0),
    )  # fmt: skip
    spec.add_actuator(name=f"grip_{name}", target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    finger.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, pos=(0.098, side * 0.014, 0.0), size=(0.085, 0.004, 0.006), contype=1,
        conaffinity=0, friction=RUBBER,
    )  # fmt: skip
    finger.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER, pos=(_TO_CUP_M, side * _CUP_SIDE_M, 0.0), size=(*_CUP_M, 0.0),
        quat=(math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0), contype=1, conaffinity=0, friction=RUBBER, condim=6,
        solref=(0.01, 1.0),
    )  # fmt: skip


def _add_thing(
    spec: mujoco.MjSpec, world: World, thing: HouseObject, middle_m: tuple[float, float, float], yaw_rad: float
) -> None:
    """Adds the object as a free body whose mass is distributed over its bounding box."""
    turn = math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)
    body = spec.worldbody.add_body(name="thing", pos=middle_m, quat=turn)
    body.add_freejoint()
    mass, (a, b, c) = MASS_KG[thing.category], thing.size_m
    body.explicitinertial, body.mass = True, mass
    body.inertia = mass / 12 * np.array([b * b + c * c, a * a + c * c, a * a + b * b])
    source = world.model
    for geom in np.flatnonzero((source.geom_bodyid == source.body(thing.name).id) & (source.geom_group == 0)):
        is_mesh = source.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH
        for mesh in _copy_mesh(spec, source, int(source.geom_dataid[geom])) if is_mesh else ("",):
            shape = body.add_geom(
                type=source.geom_type[geom], size=source.geom_size[geom], pos=source.geom_pos[geom],
                quat=source.geom_quat[geom], contype=2, conaffinity=3, mass=0, condim=4,
            )  # fmt: skip
            if mesh:
                shape.meshname = mesh


def _copy_mesh(spec: mujoco.MjSpec, source: mujoco.MjModel, index: int) -> list[str]:
    """Copies the convex pieces of another model's mesh; returns their names, none for a flat mesh (a leaf).

    A surface of revolution is cut between the rings of its profile, so that a neck keeps its shape.
    """
    first, count = source.mesh_vertadr[index], source.mesh_vertnum[index]
    points = np.array(source.mesh_vert[first : first + count], dtype=np.float64)
    offset, turn = np.array(source.mesh_pos[index]), np.zeros(9)
    mujoco.mju_quat2Mat(turn, source.mesh_quat[index])
    upright = points @ turn.reshape(3, 3).T + offset  # as it was before MuJoCo turned it into its own axes
    level = np.round(upright[:, 2], 4)
    rings = np.unique(level)
    if 3 <= len(rings) <= _MOST_RINGS:
        pieces = [points[(level == low) | (level == high)] for low, high in itertools.pairwise(rings)]
    else:
        pieces = [points]
    names = []
    for k, piece in enumerate(pieces):
        if np.linalg.svd(piece - piece.mean(axis=0), compute_uv=False)[-1] < _FLAT_M * math.sqrt(len(piece)):
            continue
        names.append(f"mesh_{index}_{k}")
        spec.add_mesh(name=names[-1], uservert=piece.ravel(), inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX)
    return names
