"""How a process enters the ROS graph: with shared memory that holds images, unless the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ferry_ros.rclpy_support.context import LOCAL, PROFILE, VARIABLES

OWN = """
<profiles xmlns="http://www.eprosima.com">
  <participant profile_name="own" is_default_profile="true"><rtps><name>own</name></rtps></participant>
</profiles>
"""

ENTERS = """
import os, sys
from pathlib import Path
from ferry_ros.rclpy_support.context import enter
enter()
import rclpy
node = rclpy.create_node("enters")
print(os.environ.get(sys.argv[1], "-"))
mapped = (line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "/dev/shm/fastrtps_" in line)
print(max((int(one[0].split("-")[1], 16) - int(one[0].split("-")[0], 16) for one in mapped), default=0))
node.destroy_node()
rclpy.shutdown()
"""


LISTENS = """
from pathlib import Path
from ferry_ros.rclpy_support.context import enter
enter()
import rclpy
before = set(Path("/proc/net/udp").read_text().splitlines())
node = rclpy.create_node("listens")
for line in set(Path("/proc/net/udp").read_text().splitlines()) - before:
    print(line.split()[1])
"""


def entered(folder: Path, **given: str) -> tuple[str, int]:
    """The profile in force, and the size of the shared memory of a process [bytes]."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | given
    environment |= {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"
    }  # its domain is this test's: no other memory is mapped
    done = subprocess.run(
        [sys.executable, "-c", ENTERS, VARIABLES[0]],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    profile, size = done.stdout.splitlines()
    return profile, int(size)


def test_shared_memory_holds_several_images(tmp_path: Path) -> None:
    profile, size = entered(tmp_path)
    assert profile == str(LOCAL)
    assert size > 16 * 640 * 480 * 3


@pytest.mark.parametrize("given", [{VARIABLES[0]: "own.xml"}, {VARIABLES[2]: "DEFAULT"}])
def test_what_the_user_says_counts(tmp_path: Path, given: dict[str, str]) -> None:
    (tmp_path / "own.xml").write_text(OWN)
    profile, size = entered(tmp_path, **given)
    assert profile not in (str(LOCAL), str(PROFILE))
    assert 0 < size < 1_000_000


def test_for_this_computer_alone_no_port_is_open_to_others(tmp_path: Path) -> None:
    alone = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a network namespace of its own, in which nobody else opens ports")
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    command = [*alone, sys.executable, "-c", LISTENS]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    addresses = {line.partition(":")[0] for line in done.stdout.splitlines()}
    assert "0100007F" in addresses
    assert addresses <= {"0100007F", "0100FFEF"}  # 127.0.0.1, and the group 239.255.0.1 there
