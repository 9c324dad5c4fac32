from glob import glob

from setuptools import find_packages, setup

package_name = "ferry_ros"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(include=[package_name, package_name + ".*"]),
    package_data={package_name + ".rclpy_support": ["fast_dds*.xml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + package_name]),
        ("share/" + package_name, ["package.xml"]),
        ("share/" + package_name + "/config", glob("config/*.yaml")),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="Ferry maintainers",
    maintainer_email="maintainers@ferry.example.org",
    description="Puts any Ferry robot on ROS 2 topics and drives it with a policy from a policy server.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "robot_node = ferry_ros.nodes.robot_node:main",
            "policy_node = ferry_ros.nodes.policy_node:main",
            "trial_node = ferry_ros.nodes.trial_node:main",
            "fake_stretch_driver = ferry_ros.fakes.stretch_driver:main",
            "fake_arm_controller = ferry_ros.fakes.arm_controller:main",
            "fake_xs_sdk = ferry_ros.fakes.xs_sdk:main",
            "supervisor_node = ferry_ros.nodes.supervisor_node:main",
            "recorder_node = ferry_ros.nodes.recorder_node:main",
            "watch_node = ferry_ros.nodes.watch_node:main",
            "estop_key = ferry_ros.nodes.estop_key:main",
        ],
    },
)
