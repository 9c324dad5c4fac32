"""A table with a Piper and objects, as MuJoCo's XML: primitives around the arm's true axes, with its true masses.

Axes from `robots.embodiments.piper_urdf` (piper_sdk), masses from piper_description.urdf (agilexrobotics/piper_ros).
Thicknesses, colours, gains and camera poses are choices.
"""

from __future__ import annotations

import math

from robots.embodiments.piper import GRIPPER_OPEN_M, JOINTS, MOUNTS
from robots.embodiments.piper_urdf import ARM, CHAIN, GRIPPER_M, Link
from simulation.tabletop.objects import GRIPS, OBJECT_TOUCHES, RESTS

FINGERS = ("finger_left", "finger_right")
SCENE_CAMERA = "scene"
CUBE_SIDE_M = 0.03
TIMESTEP_S = 0.002

TIP_GROUP = 4
"""Group of the site between the fingertips, which cameras do not draw: a real one would see no such mark."""

_MASSES_KG = (0.71, 1.16, 0.5, 0.38, 0.383, 0.007)  # link1 .. link6
_GRIPPER_KG, _FINGER_KG = 0.45, 0.025
_THICK_M = (0.045, 0.035, 0.03, 0.034, 0.028, 0.025)  # radius of each link's capsule
_GAINS = (900.0, 900.0, 700.0, 300.0, 300.0, 200.0)  # N m / rad; a servo that hardly gives
_ARMATURE = 0.05  # kg m^2: inertia of rotor and gears seen at the joint
_FINGER_FORCE_N = 20.0  # two fingers together hold with 40 N

_ARM_TOUCHES = 'contype="1" conaffinity="6"'
_TABLE_TOUCHES = 'contype="2" conaffinity="5"'

CUBE = f"""<body name="cube" pos="0.4 0 {CUBE_SIDE_M / 2}"><freejoint name="cube"/>
      <geom name="cube" type="box" size="{CUBE_SIDE_M / 2} {CUBE_SIDE_M / 2} {CUBE_SIDE_M / 2}" mass="0.03"
        rgba="0.85 0.2 0.15 1" {GRIPS} {RESTS} {OBJECT_TOUCHES}/></body>"""


def scene_xml(fovy_deg: float, objects: str = CUBE) -> str:
    """The whole scene with the bodies `objects`; both cameras see `fovy_deg` high."""
    return f"""<mujoco model="piper">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{TIMESTEP_S}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <visual><headlight ambient="0.35 0.35 0.35" diffuse="0.5 0.5 0.5"/></visual>
  <asset>
    <texture name="wood" type="2d" builtin="checker" rgb1="0.72 0.6 0.45" rgb2="0.68 0.56 0.42"
      width="256" height="256"/>
    <material name="wood" texture="wood" texrepeat="6 6"/>
    <material name="white" rgba="0.86 0.87 0.9 1"/><material name="dark" rgba="0.16 0.17 0.2 1"/>
  </asset>
  <worldbody>
    <light name="lamp" pos="0.3 -0.6 2.0" dir="-0.1 0.3 -1" castshadow="true"/>
    <geom name="floor" type="plane" size="3 3 0.1" pos="0 0 -0.75" rgba="0.45 0.47 0.5 1" contype="0" conaffinity="0"/>
    <geom name="table" type="box" size="0.6 0.7 0.02" pos="0.35 0 -0.02" material="wood" {_TABLE_TOUCHES}/>
    {_scene_camera(fovy_deg)}
    <geom name="base" type="cylinder" size="0.055 0.05" pos="0 0 0.05" material="dark" contype="0" conaffinity="0"/>
    {_body(0, fovy_deg)}
    {objects}
  </worldbody>
  <actuator>{_actuators()}</actuator>
</mujoco>"""


def _scene_camera(fovy_deg: float) -> str:
    """The camera that looks over the table at the arm, tilted down."""
    (x, y, z), (_, tilt, _) = MOUNTS[SCENE_CAMERA].xyz_m, MOUNTS[SCENE_CAMERA].rpy_rad
    up = f"{-math.sin(tilt):.6f} 0 {math.cos(tilt):.6f}"
    return f'<camera name="{SCENE_CAMERA}" pos="{x} {y} {z}" xyaxes="0 1 0 {up}" fovy="{fovy_deg}"/>'


def _body(index: int, fovy_deg: float) -> str:
    """Link `index` (from 0) with everything that hangs on it."""
    link, number = CHAIN[index], index + 1
    inside = _body(index + 1, fovy_deg) if number < len(CHAIN) else _gripper(fovy_deg)
    limits = JOINTS[f"joint{number}"]
    return f"""<body name="link{number}" {_frame(link)} gravcomp="1">
      <joint name="joint{number}" axis="0 0 1" range="{limits.low} {limits.high}" armature="{_ARMATURE}"/>
      {_shape(index)}
      {inside}</body>"""


def _frame(link: Link) -> str:
    """Position and the first two columns of Rx(alpha) Rz(theta)."""
    (ca, sa), (ct, st) = ((math.cos(angle), math.sin(angle)) for angle in (link.alpha_rad, link.theta_rad))
    axes = f"{ct:.9f} {ca * st:.9f} {sa * st:.9f} {-st:.9f} {ca * ct:.9f} {sa * ct:.9f}"
    return f'pos="{link.a_m:.9f} {-sa * link.d_m:.9f} {ca * link.d_m:.9f}" xyaxes="{axes}"'


def _shape(index: int) -> str:
    """A capsule from this joint to the next; a ball where the two axes meet. The shoulder is not for contact."""
    touches = _ARM_TOUCHES if index else 'contype="0" conaffinity="0"'
    after = CHAIN[index + 1] if index + 1 < len(CHAIN) else Link(0.0, 0.0, 0.0, 0.0)
    end = (after.a_m, -math.sin(after.alpha_rad) * after.d_m, math.cos(after.alpha_rad) * after.d_m)
    style = f'mass="{_MASSES_KG[index]}" material="{"white" if index % 2 else "dark"}" {touches}'
    if math.hypot(*end) < 1e-6:
        return f'<geom name="arm{index + 1}" type="sphere" size="{_THICK_M[index]}" {style}/>'
    axis = "0 0 0 " + " ".join(f"{coordinate:.9f}" for coordinate in end)
    return f'<geom name="arm{index + 1}" type="capsule" fromto="{axis}" size="{_THICK_M[index]}" {style}/>'


def _gripper(fovy_deg: float) -> str:
    """Palm, two fingers that slide along y, and the camera above them (towards -x, which is up at home)."""
    fingers = "".join(_finger(name, side) for name, side in zip(FINGERS, (1, -1), strict=True))
    tilt = math.radians(25.0)
    up = f"{-math.cos(tilt):.6f} 0 {math.sin(tilt):.6f}"
    return f"""<geom name="palm" type="box" size="0.028 0.05 0.032" pos="0 0 0.035" mass="{_GRIPPER_KG}"
        material="dark" {_ARM_TOUCHES}/>
      <camera name="wrist" pos="-0.07 0 0.02" xyaxes="0 -1 0 {up}" fovy="{fovy_deg}"/>
      <site name="fingertips" pos="0 0 {GRIPPER_M}" size="0.004" group="{TIP_GROUP}"/>{fingers}"""


def _finger(name: str, side: int) -> str:
    """One finger; its joint is half the aperture."""
    return f"""<body name="{name}" gravcomp="1">
        <joint name="{name}" type="slide" axis="0 {side} 0" range="0 {GRIPPER_OPEN_M / 2}" damping="5"/>
        <geom name="{name}" type="box" size="0.009 0.005 0.035" pos="0 {side * 0.005} {GRIPPER_M - 0.033}"
          mass="{_FINGER_KG}" material="white" {GRIPS} {RESTS} {_ARM_TOUCHES}/></body>"""


def _actuators() -> str:
    arm = "".join(
        f'<position name="{name}" joint="{name}" kp="{gain}" dampratio="1" forcerange="-100 100"/>'
        for name, gain in zip(ARM, _GAINS, strict=True)
    )
    force = f"{-_FINGER_FORCE_N} {_FINGER_FORCE_N}"
    return arm + "".join(
        f'<position name="{name}" joint="{name}" kp="1500" dampratio="1" forcerange="{force}"/>' for name in FINGERS
    )
