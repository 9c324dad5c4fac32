"""Where graphs run: onnxruntime's execution providers by short names.

onnxruntime falls back to the CPU without an error when a provider's libraries do not load. A server that was asked for
a GPU must not answer twenty times later than its clients plan for: that is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnxruntime as ort

from policy_server.errors import BundleError

CPU = "CPUExecutionProvider"
CPU_DEVICE = "cpu"


@dataclass(frozen=True)
class Device:
    """A kind of device.

    Attributes:
        provider: onnxruntime's name of it.
        package: that has the provider.
    """

    provider: str
    package: str


DEVICES = {
    CPU_DEVICE: Device(CPU, "onnxruntime"),
    "cuda": Device("CUDAExecutionProvider", "onnxruntime-gpu"),
    "openvino": Device("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}


def providers(device: str) -> list[str]:
    """Returns the execution providers of a device, the CPU last; BundleError "device" where this machine lacks it."""
    if device not in DEVICES:
        raise BundleError(f"device: got {device!r}, expected one of {', '.join(DEVICES)}", code="device")
    wanted, has = DEVICES[device], ort.get_available_providers()
    if wanted.provider not in has:
        remedy = f"pip install {wanted.package} in place of onnxruntime"
        raise BundleError(f"device: got an onnxruntime without {device} ({', '.join(has)}): {remedy}", code="device")
    return list(dict.fromkeys([wanted.provider, CPU]))


def expect(device: str, session: ort.InferenceSession, name: str) -> None:
    """Raises BundleError "device" where onnxruntime has fallen back to another device."""
    first, wanted = session.get_providers()[0], DEVICES[device].provider
    if first != wanted:
        remedy = f"the libraries of {DEVICES[device].package} do not load; see onnxruntime's own message"
        raise BundleError(f"device: got {first} for {name}, expected {wanted}: {remedy}", code="device")
