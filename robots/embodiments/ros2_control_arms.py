"""Arms that are driven through ros2_control: UR5e, Franka FR3 and xArm6, each with its usual gripper.

Joint names are those of the makers' ROS 2 descriptions. Sources:
[ur] UniversalRobots/Universal_Robots_ROS2_Description config/ur5e/{joint_limits,default_kinematics}.yaml;
[fr3] frankarobotics/franka_description robots/fr3/{joint_limits,kinematics}.yaml, robots/common/franka_arm.xacro;
[fci] Franka Control Interface documentation, "Robot and interface specifications", Franka Research 3;
[xarm] xArm-Developer/xarm_ros2 xarm_description/urdf/xarm6/xarm6.urdf.xacro;
[2f85] Robotiq 2F-85 instruction manual, and PickNikRobotics/ros2_robotiq_gripper robotiq_2f_85_macro.urdf.xacro.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from robots.arms.action_chunks import cartesian_delta, joint_positions
from robots.command import Done
from robots.embodiment import Embodiment, JointLimits, Workspace
from robots.embodiments.mount import Mount
from robots.errors import SpecError
from robots.limits import GRIPPER_JOINT
from robots.plausibility import Possible, of_joint
from robots.spec import CameraSpec, VectorSpec

ROW_M, ROW_RAD = 0.05, 0.35
"""Longest increment of one Cartesian row: LIBERO's controller maps 1 to 0.05 m and 0.5 rad; less turn is ours."""

MEASURED_MARGIN = 0.02
"""Measured positions overshoot a range a little [rad] or [m]."""


@dataclass(frozen=True)
class Origin:
    """Pose of a joint's frame in the frame before it: metres, and roll, pitch, yaw in radians, as in a URDF."""

    xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rpy: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Gripper:
    """A gripper with one joint in `joint_states`, which its aperture follows in a straight line.

    Attributes:
        joint: its name.
        controller: usual name of a trajectory controller of its joint.
        action: usual name of its GripperCommand action, which is what most grippers have.
        closed: the joint's position with the fingertips touching [m] or [rad].
        open: the joint's position at `aperture_m`.
        aperture_m: the widest opening.
        speed_mps: how fast the aperture changes at most.
        tip: from the arm's last frame to the point between the fingertips.
        unit: of the joint's position.
    """

    joint: str
    controller: str
    action: str
    closed: float
    open: float
    aperture_m: float
    speed_mps: float
    tip: Origin
    unit: str = "rad"

    def joint_of(self, aperture_m: float) -> float:
        """The joint's position for an aperture."""
        return self.closed + aperture_m / self.aperture_m * (self.open - self.closed)

    def aperture_of(self, joint: float) -> float:
        """The aperture [m] for the joint's position."""
        return self.aperture_m * (joint - self.closed) / (self.open - self.closed)

    @property
    def possible(self) -> Possible:
        """Plausibility bounds of the joint; fingers are compliant, and their speed is the maker's estimate."""
        stroke, (low, high) = abs(self.open - self.closed), sorted((self.closed, self.open))
        give = stroke / 4
        return Possible(low - give, high + give, self.speed_mps * stroke / self.aperture_m, give, self.unit)


@dataclass(frozen=True)
class Arm:
    """An arm's table.

    Attributes:
        name: of the preset, e.g. "ur5e".
        joints: limits by joint name, in the order of the chain.
        decel_radps2: what its joints are slowed down with at a stop.
        controller: usual name of its trajectory controller.
        running_topic: std_msgs/Bool that is false while the arm permits no motion; empty where there is none.
        base: the link that `chain` starts from; poses are in its frame.
        chain: where each joint sits.
        gripper: what is usually mounted.
        reach_m: how far the wrist goes from the base's axis.
        ready: joint positions that it is usually started from.
    """

    name: str
    joints: Mapping[str, JointLimits]
    decel_radps2: float
    controller: str
    running_topic: str
    base: Origin
    chain: tuple[Origin, ...]
    gripper: Gripper
    reach_m: float
    ready: tuple[float, ...]

    def embodiment(self, cameras: tuple[CameraSpec, ...], gripper: bool, cartesian: bool, floor_m: float) -> Embodiment:
        """Embodiment; Cartesian chunks contain the gripper, so only an arm with a gripper takes them."""
        joints = dict(self.joints)
        if gripper:
            joints[GRIPPER_JOINT] = JointLimits(0.0, self.gripper.aperture_m, self.gripper.speed_mps)
        units = ("rad",) * len(self.joints) + ("m",) * gripper
        low, high = ([getattr(joint, end) for joint in joints.values()] for end in ("low", "high"))
        measured = VectorSpec(
            tuple(joints),
            units,
            tuple(limit - MEASURED_MARGIN for limit in low),
            tuple(limit + MEASURED_MARGIN for limit in high),
        )
        chunks = (joint_positions(joints, units), *([cartesian_delta(ROW_M, ROW_RAD)] if gripper and cartesian else []))
        return Embodiment(
            self.name,
            cameras,
            {"joints": measured},
            {"done": Done()},
            joints,
            chunks=chunks,
            workspace=self.workspace(floor_m) if cartesian else None,
            stop={
                "arm": "replace the trajectory by one that slows down evenly from the measured motion, then hold",
                "gripper": "keep its last command, so that a held object is not dropped",
            },
        )

    def possible(self, gripper: bool) -> dict[str, Possible]:
        """Plausibility bounds of each joint, by its name in `joint_states`."""
        arm = {name: of_joint(limits, "rad") for name, limits in self.joints.items()}
        return {**arm, self.gripper.joint: self.gripper.possible} if gripper else arm

    def workspace(self, floor_m: float) -> Workspace:
        """Box of the arm's reach, above `floor_m` [m] in the base frame: the surface that it is mounted on."""
        far = self.reach_m + self.gripper.tip.xyz[2]
        top = far + self.chain[0].xyz[2]
        return Workspace((-far, -far, floor_m), (far, far, top))

    def mount(self, camera: str) -> Mount:
        """Where a camera of that name is, until it is measured: "wrist" looks at the fingertips, others at the arm."""
        if "wrist" in camera:
            return Mount(f"link_{len(self.joints)}", (-0.07, 0.0, 0.02), (0.0, -math.radians(65.0), 0.0))
        return Mount("base_link", (1.3 * self.reach_m, 0.0, 0.6), (0.0, math.radians(25.0), math.pi))

    def urdf(self, gripper: bool) -> str:
        """The chain as a URDF from `base_link` to `tip`, frames alone."""
        parts = [f'<robot name="{self.name}"><link name="base_link"/><link name="link_0"/>']
        parts.append(_joint("base", "fixed", "base_link", "link_0", self.base))
        for number, (name, origin) in enumerate(zip(self.joints, self.chain)):
            limits = self.joints[name]
            ends = f'<axis xyz="0 0 1"/><limit lower="{limits.low}" upper="{limits.high}" effort="1" velocity="1"/>'
            parts.append(f'<link name="link_{number + 1}"/>')
            parts.append(_joint(name, "revolute", f"link_{number}", f"link_{number + 1}", origin, ends))
        tip = self.gripper.tip if gripper else Origin()
        parts.append('<link name="tip"/>' + _joint("tip_mount", "fixed", f"link_{len(self.joints)}", "tip", tip))
        return "\n".join((*parts, "</robot>"))


def _joint(name: str, kind: str, parent: str, child: str, origin: Origin, more: str = "") -> str:
    xyz, rpy = (" ".join(f"{number:.12g}" for number in three) for three in (origin.xyz, origin.rpy))
    frame = f'<origin xyz="{xyz}" rpy="{rpy}"/><parent link="{parent}"/><child link="{child}"/>'
    return f'<joint name="{name}" type="{kind}">{frame}{more}</joint>'


PI = math.pi
TURN = JointLimits(-2 * PI, 2 * PI, PI)  # +-360 degrees, 180 degrees/s [ur]

UR5E = Arm(
    name="ur5e",
    joints={
        "shoulder_pan_joint": TURN,
        "shoulder_lift_joint": TURN,
        "elbow_joint": JointLimits(-PI, PI, PI),  # beyond, it collides with the shoulder [ur]
        "wrist_1_joint": TURN,
        "wrist_2_joint": TURN,
        "wrist_3_joint": TURN,
    },
    decel_radps2=PI,  # max_acceleration 180 degrees/s^2 [ur]
    controller="scaled_joint_trajectory_controller",  # ur_robot_driver config/ur_controllers.yaml
    running_topic="io_and_status_controller/robot_program_running",  # ur_controllers gpio_controller.cpp
    base=Origin(rpy=(0.0, 0.0, PI)),  # base_link to base_link_inertia, ur_macro.xacro
    chain=(
        Origin((0.0, 0.0, 0.1625)),  # this and the next five: default_kinematics.yaml [ur]
        Origin(rpy=(PI / 2, 0.0, 0.0)),
        Origin((-0.425, 0.0, 0.0)),
        Origin((-0.3922, 0.0, 0.1333)),
        Origin((0.0, -0.0997, 0.0), (PI / 2, 0.0, 0.0)),
        Origin((0.0, 0.0996, 0.0), (PI / 2, PI, PI)),
    ),
    gripper=Gripper(
        joint="robotiq_85_left_knuckle_joint",
        controller="robotiq_gripper_controller",
        action="robotiq_gripper_controller/gripper_cmd",
        closed=0.7929,  # [2f85] robotiq_gripper.ros2_control.xacro gripper_closed_position
        open=0.0,  # [2f85] the same file
        aperture_m=0.085,  # [2f85] stroke
        speed_mps=0.15,  # [2f85] closing speed 20 to 150 mm/s
        tip=Origin((0.0, 0.0, 0.1628)),  # [2f85] height of the closed gripper, from the flange to the fingertips
    ),
    reach_m=0.85,  # UR5e technical specifications
    ready=(0.0, -PI / 2, PI / 2, -PI / 2, -PI / 2, 0.0),  # a choice: elbow up, the tool looking down
)

SLOW, FAST = 2.62, 5.26  # [fr3] rad/s

FR3 = Arm(
    name="fr3",
    joints={  # [fr3] joint_limits.yaml
        "fr3_joint1": JointLimits(-2.7437, 2.7437, SLOW),
        "fr3_joint2": JointLimits(-1.7837, 1.7837, SLOW),
        "fr3_joint3": JointLimits(-2.9007, 2.9007, SLOW),
        "fr3_joint4": JointLimits(-3.0421, -0.1518, SLOW),
        "fr3_joint5": JointLimits(-2.8065, 2.8065, FAST),
        "fr3_joint6": JointLimits(0.5445, 4.5169, 4.18),
        "fr3_joint7": JointLimits(-3.0159, 3.0159, FAST),
    },
    decel_radps2=5.0,  # half of the 10 rad/s^2 of [fci], so that its discontinuity reflex stays quiet
    controller="fr3_arm_controller",  # franka_fr3_moveit_config config/fr3_ros_controllers.yaml
    running_topic="",
    base=Origin(),
    chain=(
        Origin((0.0, 0.0, 0.333)),  # [fr3] kinematics.yaml, and the Denavit-Hartenberg table of [fci]
        Origin(rpy=(-PI / 2, 0.0, 0.0)),
        Origin((0.0, -0.316, 0.0), (PI / 2, 0.0, 0.0)),
        Origin((0.0825, 0.0, 0.0), (PI / 2, 0.0, 0.0)),
        Origin((-0.0825, 0.384, 0.0), (-PI / 2, 0.0, 0.0)),
        Origin(rpy=(PI / 2, 0.0, 0.0)),
        Origin((0.088, 0.0, 0.0), (PI / 2, 0.0, 0.0)),
    ),
    gripper=Gripper(
        joint="fr3_finger_joint1",  # one finger; the other one mirrors it [fr3]
        controller="franka_gripper",
        action="franka_gripper/gripper_action",
        closed=0.0,  # [fr3] the same file
        open=0.04,  # [fr3] franka_hand.xacro, each finger
        aperture_m=0.08,  # Franka Hand data sheet: travel 80 mm
        speed_mps=0.1,  # Franka Hand data sheet: 50 mm/s per finger
        tip=Origin((0.0, 0.0, 0.107 + 0.1034), (0.0, 0.0, -PI / 4)),  # flange, then hand_tcp [fr3]
        unit="m",
    ),
    reach_m=0.855,  # Franka Research 3 data sheet
    ready=(0.0, -PI / 4, 0.0, -3 * PI / 4, 0.0, PI / 2, PI / 4),  # the SRDF's "ready"
)

XARM6 = Arm(
    name="xarm6",
    joints={  # [xarm] ranges; speed 180 degrees/s
        "joint1": JointLimits(-2 * PI, 2 * PI, 3.14),
        "joint2": JointLimits(-2.059, 2.0944, 3.14),
        "joint3": JointLimits(-3.927, 0.19198, 3.14),
        "joint4": JointLimits(-2 * PI, 2 * PI, 3.14),
        "joint5": JointLimits(-1.69297, PI, 3.14),
        "joint6": JointLimits(-2 * PI, 2 * PI, 3.14),
    },
    decel_radps2=10.0,  # half of the 1145 degrees/s^2 (20 rad/s^2) of the xArm user manual
    controller="xarm6_traj_controller",  # xarm_controller config/xarm6_controllers.yaml
    running_topic="",
    base=Origin(),
    chain=(
        Origin((0.0, 0.0, 0.267)),  # [xarm]
        Origin(rpy=(-PI / 2, 0.0, 0.0)),
        Origin((0.0535, -0.2845, 0.0)),
        Origin((0.0775, 0.3425, 0.0), (-PI / 2, 0.0, 0.0)),
        Origin(rpy=(PI / 2, 0.0, 0.0)),
        Origin((0.076, 0.097, 0.0), (-PI / 2, 0.0, 0.0)),
    ),
    gripper=Gripper(
        joint="drive_joint",  # xarm_controller config/xarm_gripper_controllers.yaml
        controller="xarm_gripper_traj_controller",
        action="xarm_gripper/gripper_action",
        closed=0.85,  # xarm_gripper.urdf.xacro: range of drive_joint
        open=0.0,  # the same file
        aperture_m=0.085,  # 850 pulses of 0.1 mm, xarm_api
        speed_mps=0.1,  # estimate: the maker states none
        tip=Origin((0.0, 0.0, 0.172)),  # link_tcp, xarm_gripper.urdf.xacro
    ),
    reach_m=0.7,  # xArm6 data sheet
    ready=(0.0, -0.4, -0.6, 0.0, 1.0, 0.0),  # off the zero pose, where the elbow is near its limit
)

ARMS = {arm.name: arm for arm in (UR5E, FR3, XARM6)}


def arm(name: str) -> Arm:
    """The preset called `name`; SpecError lists the known ones."""
    if name not in ARMS:
        raise SpecError("arm", repr(name), f"one of {', '.join(ARMS)}")
    return ARMS[name]
