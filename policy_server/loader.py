"""Loads bundles as a server runs them: for several sessions in one run, or on another device than the processor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from policy_server.batched_bundle import BatchedBundle
from policy_server.bundle import PolicyBundle
from policy_server.errors import BundleError
from policy_server.graph_inputs import StepValues
from policy_server.onnx.devices import CPU_DEVICE

STEPS = 66
"""Compared from the start of an episode: a device may go wrong where the memory outgrows a block of its kernels, as
OpenVINO does after 16 steps (onnxruntime-openvino 1.24.1)."""
TOLERANCE = 0.02
"""Largest difference, as a fraction of the largest number of an answer: GPUs round products to 10 bits (TF32)."""


def load_bundle(path: Path, *, threads: int = 0, batch: int = 1, device: str = CPU_DEVICE) -> PolicyBundle:
    """Loads the bundle at `path`, which answers up to `batch` sessions in one run, on a device.

    BundleError as `PolicyBundle.load`; "batch" for a graph whose batch is fixed; "device" where this machine lacks the
    device, or its answers are not the processor's.
    """
    bundle = PolicyBundle.load(path, threads=threads, device=device)
    if device != CPU_DEVICE:
        prove_device(bundle, PolicyBundle.load(path, threads=threads))
    return bundle if batch == 1 else BatchedBundle.of(bundle, batch)


def prove_device(bundle: PolicyBundle, reference: PolicyBundle) -> None:
    """Compares the answers of a bundle with those of the same bundle on the processor, along an episode.

    Raises BundleError "device" where they differ.
    """
    spec, tokens, random = bundle.manifest.spec, bundle.manifest.previous_action, np.random.default_rng(0)
    instruction = (bundle.manifest.tasks or ("go",))[0]
    both = (bundle, reference)
    texts, states = [one.encode_text(instruction, 10_000) for one in both], [one.initial_state() for one in both]
    for step in range(min(STEPS, spec.horizon)):
        images = {one.name: random.integers(0, 256, (one.height, one.width, 3), dtype=np.uint8) for one in spec.cameras}
        values = StepValues(images, np.array(spec.state.low, np.float32), None, tokens.start if tokens else 0, step)
        answers = []
        for number, one in enumerate(both):
            answer, states[number] = one.run(replace(values, text=texts[number]), states[number])
            answers.append(answer)
        apart = float(np.abs(answers[0] - answers[1]).max() / max(float(np.abs(answers[1]).max()), 1e-6))
        if not apart <= TOLERANCE:
            got = f"an answer of {bundle.device} that is {apart:.0%} apart from the processor's in step {step}"
            raise BundleError(f"{bundle.manifest.name}: got {got}, expected at most {TOLERANCE:.0%}", code="device")
