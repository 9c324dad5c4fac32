"""An arm behind ros2_control: joint_trajectory_controller and a gripper."""
