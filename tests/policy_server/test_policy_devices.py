"""Where graphs run: on what was asked for, or not at all."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort
import pytest
from bundles import tiny_body, tiny_observation, write_tiny_bundle

from policy_server.bundle import PolicyBundle
from policy_server.errors import BundleError
from policy_server.loader import load_bundle, prove_device
from policy_server.onnx import devices
from policy_server.onnx_policy import OnnxPolicy
from policy_server.serve import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("bundle")
    write_tiny_bundle(path)
    return path


def test_a_device_that_this_machine_lacks_is_refused_with_the_package(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(BundleError, match=r"without cuda .*pip install onnxruntime-gpu") as error:
        PolicyBundle.load(folder, device="cuda")
    assert error.value.code == "device"
    assert main([str(folder), "--device", "cuda", "--port", "0"]) != 0
    assert "onnxruntime-gpu" in capsys.readouterr().err


def test_a_fall_back_to_the_processor_is_refused(folder: Path) -> None:
    """As where the provider is there and CUDA's own libraries are not: onnxruntime makes a session all the same."""
    session = ort.InferenceSession(str(folder / "policy.onnx"), providers=["CPUExecutionProvider"])
    devices.expect("cpu", session, "policy.onnx")
    with pytest.raises(BundleError, match=r"got CPUExecutionProvider for policy.onnx") as error:
        devices.expect("cuda", session, "policy.onnx")
    assert error.value.code == "device"


def test_answers_that_are_not_the_processors_are_refused(folder: Path, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "other", script=("rotate_left",))
    bundle, other = PolicyBundle.load(folder), PolicyBundle.load(tmp_path / "other")
    prove_device(bundle, bundle)
    with pytest.raises(BundleError, match="apart from the processor's in step 0") as error:
        prove_device(bundle, other)
    assert error.value.code == "device"


@pytest.mark.parametrize("device", [name for name, one in devices.DEVICES.items() if name != "cpu"])
def test_a_device_at_hand_answers_as_the_processor_does(folder: Path, device: str) -> None:
    if devices.DEVICES[device].provider not in ort.get_available_providers():
        pytest.skip(f"this onnxruntime has no {device}")
    answers = []
    for where in ("cpu", device):
        bundle = load_bundle(folder, device=where)
        bundle.warm_up()
        answers.append(OnnxPolicy(bundle).open(tiny_body(), "find a mug").act(tiny_observation()).probabilities)
        assert bundle.runtime.get("device", "cpu") == where
    assert answers[1] == pytest.approx(answers[0], abs=1e-3)
