"""Topics of a robot node that describe the robot, under the names and in the frames that ROS's tools expect.

`camera/<name>/image_raw`, `image_raw/compressed` (encoded while somebody subscribes) and `camera_info` in the optical
frame; `joint_states` by the URDF's names; `state`, all numbers in one message; each flag; `gripper_aperture` and
`tip_pose` where the robot measures them; `odom` of a base; `tip` of an arm that simulates it; `robot_description`
(latched), `/tf` and `/tf_static`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, PointStamped, PoseStamped, Quaternion
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Bool, Float64, Header, String

from ferry_ros.messages import convert, images, qos
from ferry_ros.messages.link_frames import LinkFrames, yaw
from ferry_ros.messages.mean_speed import MeanSpeed
from ferry_ros.rclpy_support.ros_stamps import RosStamps, ros_now
from ferry_ros.rclpy_support.transforms import TransformPublisher
from robots.embodiment import Embodiment
from robots.embodiments.description import camera_frames, description, is_measured, joint_positions, optical_frame
from robots.embodiments.mount import Mount
from robots.embodiments.piper import TIP_NAMES
from robots.limits import GRIPPER_JOINT
from robots.observation import Observation


class RobotTopics:
    """Publishes a robot's observations, pose, fingertips and frames.

    Args:
        node: whose publishers they are.
        body: the robot's embodiment.
        prefix: of every frame's name.
        publish_tf: whether odom -> base_link and the links are published here; the cameras' frames are in any case.
        calibrations: of cameras, by name; those without are published as ideal pinholes.
        mounts: camera name -> where it was measured to be.
    """

    def __init__(
        self,
        node: Node,
        body: Embodiment,
        prefix: str = "",
        publish_tf: bool = True,
        calibrations: Mapping[str, CameraInfo] | None = None,
        mounts: Mapping[str, Mount] | None = None,
    ) -> None:
        self._node, self._body, self._prefix = node, body, prefix
        self._mounts = dict(mounts or {})
        ideal = {camera.name: images.camera_info_msg(camera, 0, "") for camera in body.cameras}
        self._calibrations = {**ideal, **(calibrations or {})}
        self._frames, self._odom_stamps = LinkFrames("", prefix), RosStamps(node.get_clock())
        self._joint_speed, self._base_speed = MeanSpeed(), MeanSpeed()
        self._turned = 0.0

        def publisher(kind: Any, topic: str, profile: Any = qos.NEWEST) -> Any:
            return node.create_publisher(kind, topic, profile)

        topics = {camera.name: f"camera/{camera.name}" for camera in body.cameras}
        self._images = {name: publisher(Image, f"{topic}/image_raw") for name, topic in topics.items()}
        self._compressed = {
            name: publisher(CompressedImage, f"{topic}/image_raw/compressed") for name, topic in topics.items()
        }
        self._infos = {name: publisher(CameraInfo, f"{topic}/camera_info") for name, topic in topics.items()}
        self._joints, self._state = publisher(JointState, "joint_states"), publisher(JointState, "state")
        units = {name: unit for spec in body.state.values() for name, unit in zip(spec.names, spec.units)}
        self._flags = {name: publisher(Bool, name) for name, unit in units.items() if unit == "bool"}
        self._aperture = publisher(Float64, GRIPPER_JOINT) if GRIPPER_JOINT in units else None
        self._tip_pose = publisher(PoseStamped, "tip_pose") if set(TIP_NAMES) <= set(units) else None
        self._odom, self._tip = publisher(Odometry, "odom"), publisher(PointStamped, "tip")
        self._description = publisher(String, "robot_description", qos.LATCHED)
        self._transforms, self._publish_tf = TransformPublisher(node), publish_tf

    def describe(self, robot: Any) -> None:
        """Publishes the URDF of a connected robot, and the frames of it that do not move."""
        own = {**getattr(robot, "mounts", {}), **self._mounts}
        urdf = description(robot.spec, own)
        self._frames = LinkFrames(urdf, self._prefix)
        self._description.publish(String(data=urdf))
        cameras = {f"{self._prefix}{frame}" for camera in self._body.cameras for frame in camera_frames(camera.name)}
        fixed = self._frames.fixed(ros_now(self._node))
        self._transforms.send_fixed([one for one in fixed if self._publish_tf or one.child_frame_id in cameras])
        guessed = [] if is_measured(robot.spec) else [one.name for one in self._body.cameras if one.name not in own]
        if guessed:
            self._node.get_logger().info(
                f"where {' and '.join(guessed)} stand is a guess: set camera_mounts, if you project their images"
            )
        lost = [camera.name for camera in self._body.cameras if optical_frame(camera.name) not in urdf]
        if lost:
            what = f"camera{'' if len(lost) == 1 else 's'}"
            self._node.get_logger().info(
                f"unknown place of {what} {' and '.join(lost)}: publish base_link -> {optical_frame(lost[0])} with"
                " static_transform_publisher, if you project its images"
            )

    def renew(self) -> None:
        """Forgets where the robot was, as it is put elsewhere when an episode begins: no speed is made of that."""
        self._joint_speed, self._base_speed = MeanSpeed(), MeanSpeed()

    def observation(self, observation: Observation) -> None:
        """Publishes an observation, all with its stamp."""
        stamp_ns, named = observation.stamp_ns, self._body.named(observation.state)
        for camera in self._body.cameras:
            frame, image = self._prefix + optical_frame(camera.name), observation.images[camera.name]
            message = images.image_msg(image, stamp_ns, frame)
            self._images[camera.name].publish(message)
            info = self._calibrations[camera.name]
            info.header = message.header
            self._infos[camera.name].publish(info)
            if (compressed := self._compressed[camera.name]).get_subscription_count():
                compressed.publish(images.compressed_msg(image, message.header))
        self._state.publish(convert.state_msg(observation.state, self._body, stamp_ns))
        self._publish_joints(joint_positions(self._body, named), stamp_ns)
        self._publish_hand(named, stamp_ns)

    def pose(self, pose: convert.Planar) -> None:
        """Publishes the base's pose (x_m, y_m, yaw_rad) in `odom`, and as a transform."""
        stamp_ns, (x, y, heading) = self._odom_stamps.now(), (float(value) for value in pose)
        self._turned += math.remainder(heading - self._turned, math.tau)
        speed = self._base_speed.take({"x": x, "y": y, "yaw": self._turned}, stamp_ns)
        cos, sin = math.cos(heading), math.sin(heading)
        twist = (cos * speed["x"] + sin * speed["y"], cos * speed["y"] - sin * speed["x"], speed["yaw"])
        self._odom.publish(convert.odometry_msg((x, y, heading), stamp_ns, twist, self._prefix))
        if self._publish_tf:
            self._transforms.send([self._frames.transform("odom", "base_link", stamp_ns, (x, y, 0.0), yaw(heading))])

    def tip(self, tip: Any) -> None:
        """Publishes the point between the fingertips (3,) [m] in `base_link`."""
        x, y, z = (float(value) for value in tip)
        self._tip.publish(PointStamped(header=self._in_base(ros_now(self._node)), point=Point(x=x, y=y, z=z)))

    def _publish_joints(self, positions: Mapping[str, float], stamp_ns: int) -> None:
        speeds = self._joint_speed.take(positions, stamp_ns)
        self._joints.publish(
            JointState(
                header=Header(stamp=convert.time_msg(stamp_ns)),
                name=list(positions),
                position=list(positions.values()),
                velocity=[speeds[name] for name in positions],
            )
        )
        if self._publish_tf:
            self._transforms.send(self._frames.moving(positions, stamp_ns))

    def _publish_hand(self, named: Mapping[str, float], stamp_ns: int) -> None:
        """Publishes what a robot measures of its hand that is no joint."""
        for name, flag in self._flags.items():
            flag.publish(Bool(data=bool(named[name])))
        if self._aperture:
            self._aperture.publish(Float64(data=named[GRIPPER_JOINT]))
        if self._tip_pose:
            place, turn = np.split(np.array([named[name] for name in TIP_NAMES], dtype=np.float64), 2)
            angle = float(np.linalg.norm(turn))
            axis = turn / angle if angle else turn
            message = PoseStamped(header=self._in_base(stamp_ns))
            message.pose.position = Point(**dict(zip("xyz", place.tolist())))
            vector = dict(zip("xyz", (math.sin(angle / 2) * axis).tolist()))
            message.pose.orientation = Quaternion(**vector, w=math.cos(angle / 2))
            self._tip_pose.publish(message)

    def _in_base(self, stamp_ns: int) -> Header:
        return Header(stamp=convert.time_msg(stamp_ns), frame_id=f"{self._prefix}base_link")
