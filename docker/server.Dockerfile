# The policy server: onnxruntime and FastAPI, no torch and no simulator.
#   docker build -f docker/server.Dockerfile -t ferry-server .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges -p 127.0.0.1:8042:8042 ferry-server
# It writes nothing, and needs neither a capability nor root.
FROM python:3.11-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libxcb1 \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /ferry
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ferry ferry
COPY robots robots
COPY policy_server policy_server
COPY simulation simulation
COPY evaluation evaluation
COPY ros2_ws/src/ferry_ros ros2_ws/src/ferry_ros
COPY policies policies
RUN pip install --no-cache-dir -c constraints.txt '.[server]' && rm -rf build && useradd --create-home ferry
USER ferry
EXPOSE 8042
# A start of Python each time: 10 s apart, and with time enough on a busy computer.
HEALTHCHECK --interval=10s --timeout=10s --start-period=20s \
  CMD ["ferry", "doctor", "--only", "server", "--server", "http://127.0.0.1:8042"]
# Listens on every address of the container: publish the port to a network you trust, or give it --token-file.
ENTRYPOINT ["ferry", "serve"]
CMD ["policies/objectnav_stretch_mini", "--host", "0.0.0.0", "--port", "8042"]
