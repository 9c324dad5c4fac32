# Training: torch, MuJoCo with an off-screen renderer, TensorBoard.
#   docker build -f docker/train.Dockerfile -t ferry-train .
#   docker run --gpus all -v "$PWD/runs:/ferry/runs" ferry-train --help
# Its root may be read-only: it writes to /ferry/runs and /tmp; torch's workers share memory in /dev/shm (--shm-size 1g).
FROM python:3.11-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends libegl1 libgl1-mesa-dri libgl1 libglib2.0-0 git \
  && rm -rf /var/lib/apt/lists/*
ENV MUJOCO_GL=egl NVIDIA_DRIVER_CAPABILITIES=all
ENV XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/cache/matplotlib PYTHONDONTWRITEBYTECODE=1
WORKDIR /ferry
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ferry ferry
COPY robots robots
COPY policy_server policy_server
COPY simulation simulation
COPY evaluation evaluation
COPY ros2_ws/src/ferry_ros ros2_ws/src/ferry_ros
COPY training training
RUN pip install --no-cache-dir -c constraints.txt '.[train]' && rm -rf build \
  && useradd --create-home ferry && mkdir runs && chown ferry runs
USER ferry
ENTRYPOINT ["ferry", "train"]
CMD ["--help"]
