"""Arms: kinematics, the planner that checks a whole path, trajectories and how well they are tracked."""
