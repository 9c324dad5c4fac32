# The robot's side on a real ROS 2: nodes and launch files, built by colcon, started by `ros2 launch`.
#   docker build -f docker/robot.Dockerfile -t ferry-robot .                                   Jazzy, the robot alone
#   docker build -f docker/robot.Dockerfile --build-arg ROS_DISTRO=humble -t ferry-robot .     Humble, as on a Stretch RE1
#   docker build -f docker/robot.Dockerfile --build-arg EXTRAS=robot,sim -t ferry-twin .       with the simulated Stretch
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base
ARG EXTRAS=robot
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3-pip libegl1 libgl1-mesa-dri libgl1 libglib2.0-0 \
  && rm -rf /var/lib/apt/lists/*
# Jazzy's Python is managed by apt; in a container there is nobody else to disturb. Humble's pip does not know the switch.
ENV PIP_BREAK_SYSTEM_PACKAGES=1
WORKDIR /ferry
COPY pyproject.toml README.md LICENSE ./
COPY ferry ferry
COPY robots robots
COPY policy_server policy_server
COPY simulation simulation
COPY evaluation evaluation
COPY policies policies
COPY launch launch
COPY ros2_ws ros2_ws
# No constraints.txt: it pins for Python 3.11, ROS brings 3.10 or 3.12.
RUN pip3 install --no-cache-dir "setuptools>=64,<80" && pip3 install --no-cache-dir ".[${EXTRAS}]"
RUN . "/opt/ros/${ROS_DISTRO}/setup.sh" && cd ros2_ws && colcon build
# Its root may be read-only: it writes logs of ROS to /tmp, records of trials to /ferry/runs, and shared memory of DDS to
# /dev/shm. A robot's devices belong to groups: docker run --group-add dialout --group-add video ...
ENV ROS_LOG_DIR=/tmp/ros MESA_SHADER_CACHE_DISABLE=true PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home ferry && mkdir runs && chown ferry runs
USER ferry
# The simulated Stretch's meshes are simplified once, here: 8 s that no container waits for.
RUN case "$EXTRAS" in *sim*) MUJOCO_GL=disable python3 -c "import mujoco; \
  from simulation.robot_models.stretch import add_stretch; \
  [add_stretch(mujoco.MjSpec(), detail=detail) for detail in ('low', 'high')]" ;; esac
COPY docker/entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "ferry_bringup", "stretch_re1.launch.xml", "serve:=false", "server_url:=http://server:8042"]
