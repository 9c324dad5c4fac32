"""A policy bundle: a folder or a zip with manifest.json, the ONNX graphs and the tokenizer, checked file by file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Tokenizer

from policy_server.bundle_files import (
    MAX_GRAPH_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_TOKENIZER_BYTES,
    Read,
    line,
    reader,
)
from policy_server.errors import BundleError, PolicyError
from policy_server.manifest import MANIFEST_FILE, GraphFile, PolicyManifest, sha256_of
from policy_server.onnx_file import check_whole
from policy_server.signature import check_graph, policy_ports, text_ports
from policy_server.wire import invalid
from robots.spec import DiscreteActions, F32Vector, U8Image

GRAPHS = ("policy", "text")
Feed = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class PolicyBundle:
    """A loaded policy.

    `sha256` is the hash of manifest.json, which contains the hash of every other file: it identifies the whole bundle.
    """

    manifest: PolicyManifest
    sha256: str
    policy: ort.InferenceSession
    text: ort.InferenceSession
    tokenizer: Tokenizer

    @classmethod
    def load(cls, path: Path, *, threads: int = 0) -> PolicyBundle:
        """Loads and checks the bundle at `path`, a folder or a .zip.

        `threads` is the number of threads of one inference, 0 for one per core. BundleError names the file, got and
        expected if a file is missing, truncated or changed, or does not match the manifest.
        """
        read = reader(path)
        text = read(MANIFEST_FILE, MAX_MANIFEST_BYTES)
        manifest = _manifest(text)
        files = {graph.file: _checked(read, graph, MAX_GRAPH_BYTES) for graph in manifest.graphs.values()}
        files[manifest.tokenizer.file] = _checked(read, manifest.tokenizer, MAX_TOKENIZER_BYTES)
        sessions = {name: _session(manifest.graphs[name].file, files, threads) for name in GRAPHS}
        check_graph(manifest.graphs["policy"].file, sessions["policy"], *policy_ports(manifest))
        check_graph(manifest.graphs["text"].file, sessions["text"], *text_ports())
        tokenizer = _tokenizer(manifest.tokenizer.file, files)
        return cls(manifest, sha256_of(text), sessions["policy"], sessions["text"], tokenizer)

    def text_features(self, instruction: str, max_tokens: int) -> npt.NDArray[np.float32]:
        """Returns (1, L, D) float32 features of `instruction`; WireError 422 if it has no or too many tokens."""
        try:
            instruction.encode()
        except UnicodeEncodeError as error:
            got = f"a lone surrogate at {error.start}"
            raise invalid("instruction", got, "text that is Unicode", code="instruction") from error
        encoding = self.tokenizer.encode(instruction)
        count = sum(encoding.attention_mask)  # without padding
        if not 1 <= count <= max_tokens:
            raise invalid("instruction", f"{count} tokens", f"1 to {max_tokens} tokens", code="instruction")
        feed = {"token_ids": np.array([encoding.ids], np.int64)}
        features: npt.NDArray[np.float32] = self.text.run(["text_features"], feed)[0]
        return features

    def initial_state(self) -> Feed:
        """Returns the recurrent inputs of an episode's first step."""
        return {tensor.input: np.zeros(tensor.initial_shape, tensor.dtype) for tensor in self.manifest.recurrent}

    def run(
        self,
        images: dict[str, U8Image],
        text_features: npt.NDArray[np.float32],
        state: F32Vector,
        previous_action: int,
        step: int,
        recurrent: Feed,
    ) -> tuple[npt.NDArray[np.float32], Feed]:
        """Runs one step of the policy graph; returns logits (number of actions,), or the chunk (horizon, n) of a
        continuous policy, and the next step's recurrent inputs. Only discrete policies use `previous_action`."""
        feed: Feed = {name: image[None] for name, image in images.items()}
        feed |= {"text_features": text_features, "state": state[None], "step": np.array([step]), **recurrent}
        discrete = isinstance(self.manifest.spec.actions, DiscreteActions)
        if discrete:
            feed["previous_action"] = np.array([previous_action])
        tensors = self.manifest.recurrent
        answer, *outputs = self.policy.run(
            ["logits" if discrete else "actions", *(tensor.output for tensor in tensors)], feed
        )
        return answer[0], {tensor.input: output for tensor, output in zip(tensors, outputs, strict=True)}

    def warm_up(self) -> None:
        """Runs both graphs for two steps, so that no decision pays for the first run; BundleError if one fails."""
        spec = self.manifest.spec
        images = {camera.name: np.zeros((camera.height, camera.width, 3), np.uint8) for camera in spec.cameras}
        state = np.array(spec.state.low, np.float32)
        try:
            features = self.text_features((self.manifest.tasks or ("go",))[0], max_tokens=10_000)
            recurrent = self.initial_state()
            for step in range(2):
                _, recurrent = self.run(images, features, state, self.manifest.previous_action.start, step, recurrent)
        except PolicyError:
            raise
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise BundleError(f"{self.manifest.name}: warm-up failed: {line(error)}") from error


def _manifest(text: bytes) -> PolicyManifest:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST_FILE}: got no JSON ({error}), expected a policy manifest") from error
    if not isinstance(data, dict):
        raise BundleError(f"{MANIFEST_FILE}: got {type(data).__name__}, expected a JSON object")
    manifest = PolicyManifest.from_json(data)
    if not set(GRAPHS) <= set(manifest.graphs):
        raise BundleError(f"{MANIFEST_FILE} graphs: got {sorted(manifest.graphs)}, expected {sorted(GRAPHS)}")
    return manifest


def _checked(read: Read, graph: GraphFile, most: int) -> bytes:
    if PurePath(graph.file).name != graph.file or "\\" in graph.file or not graph.file.isprintable():
        raise BundleError(f"{MANIFEST_FILE}: got file name {graph.file!r}, expected a name without a folder")
    data = read(graph.file, most)
    if sha256_of(data) != graph.sha256:
        got = f"{len(data)} bytes with sha256 {sha256_of(data)}"
        raise BundleError(f"{graph.file}: got {got}, expected sha256 {graph.sha256} as in {MANIFEST_FILE}")
    return data


def _session(name: str, files: dict[str, bytes], threads: int) -> ort.InferenceSession:
    check_whole(name, files[name])  # onnxruntime would read external weights from the working folder
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    # Idle threads must not spin: on a robot, and in the demo, other processes need those cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(files[name], options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise BundleError(f"{name}: got '{line(error)}', expected a graph that onnxruntime loads") from error


def _tokenizer(name: str, files: dict[str, bytes]) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_buffer(files[name])
    except Exception as error:  # the tokenizers package raises bare Exception and ValueError
        raise BundleError(f"{name}: got '{line(error)}', expected a Hugging Face tokenizers file") from error
    tokenizer.no_truncation()  # an instruction that is too long is refused, never truncated
    return tokenizer
