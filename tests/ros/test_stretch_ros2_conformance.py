"""The conformance suite over the Stretch behind its vendor's driver, with the fake driver in a process of its own."""

from __future__ import annotations

from pathlib import Path

from fake_stretch import fake_stretch

from robots.conformance import Options, run

SLOW = (  # seconds each; test_stretch_ros2.py measures every action
    "every_action_is_executed_or_says_why",
    "joint_steps_arrive",
    "joints_keep_their_speed",
    "targets_beyond_a_range_end_at_its_limit",
    "base_steps_arrive",
    "base_turns_arrive",
    "the_same_object_connects_again",
)


def test_it_keeps_the_rules_of_a_robot(tmp_path: Path) -> None:
    options = Options(
        skip=SLOW,
        exclusive=True,
        spared=("joint_lift", "joint_arm"),
        base_step_m=0.08,
        base_step_rad=0.2,
        joint_step=0.04,
        settle_s=0.15,
    )
    with fake_stretch(tmp_path) as fake:
        report = run(fake.robot, options, slow=lambda: fake.robot(speed=0.5))
    assert report.ok, str(report)
