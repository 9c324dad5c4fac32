"""What brings `small_3` (DINOv2-S, two images of 224x384) nearer to 10 Hz: the time of a step, and what the logits pay.

    python -m benchmarks.server.big_policy        # the first run writes graphs and episodes into --folder, in minutes

Every way answers each observation of one recorded episode before the next one comes, in an order drawn anew, so that a
change of load meets all of them. Weights are random, so nothing here says what a way costs in success. What it says:
the error of the logits, as a share of their own spread along the episode, and how many decisions are the same, once
each logit's mean along the episode is taken off, without which an untrained policy decides the same all along. `other
images` is the yardstick: the same policy shown what it saw half an episode away.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import tyro
from onnx import TensorProto, helper, numpy_helper

from benchmarks.machine import cpu

Array = npt.NDArray[Any]
Run = Callable[[dict[str, Array]], list[Array]]
CAMERAS = ("navigation", "manipulation")
BOTH = ((0, 1),)
OPENVINO = "openvino"
KINDS = "encoder.but_"
ROWS, WIDTH, HIDDEN, BLOCKS = 433, 384, 1536, 12  # tokens of an image, DINOv2-S


@dataclass(frozen=True)
class Way:
    """One way to compute a step.

    Attributes:
        name: in the table.
        encoder: graph of the image encoder; empty for the whole policy in one graph.
        rest: graph of everything behind it.
        second: the encoder of the second camera, where that is another one.
        engine: that runs the encoder.
        precision: of OpenVINO.
        turns: cameras that are encoded in each step of a cycle; of the others the tokens are kept.
        together: one run for the cameras of a step.
        shift: steps by which the images are wrong.
    """

    name: str
    encoder: str = "encoder"
    rest: str = "rest"
    second: str = ""
    engine: str = "onnxruntime"
    precision: str = "f32"
    turns: tuple[tuple[int, ...], ...] = BOTH
    together: bool = True
    shift: int = 0


SECOND_SLOW, IN_TURN, HALF_RATE = ((0, 1), (0,)), ((0,), (1,)), ((0, 1), ())
EXACT, INT8 = "rest", "rest.int8"
WAYS = (
    Way("one graph, as `ferry export` writes it", ""),
    Way("encoder apart, one run for both cameras"),
    Way("encoder apart, a run for each camera", together=False),
    Way("encoder in int8, dynamic", "encoder.int8"),
    Way("encoder in int8, static", "encoder.static"),
    Way("encoder in int8, static but for {kind}", KINDS),
    Way("all in int8, dynamic", "encoder.int8", INT8),
    Way("every other patch", "half"),
    Way("every other patch, second camera alone", second="half"),
    Way("patches averaged in pairs after block 4", "pairs"),
    Way("patches averaged in fours after block 4", "fours"),
    Way("images of half the height and width", "small"),
    Way("second camera in every other step", turns=SECOND_SLOW),
    Way("one camera in each step", turns=IN_TURN),
    Way("both cameras in every other step", turns=HALF_RATE),
    Way("OpenVINO's encoder", engine=OPENVINO),
    Way("OpenVINO's encoder in bfloat16", engine=OPENVINO, precision="bf16"),
    Way("OpenVINO's encoder in int8, static", "encoder.static", engine=OPENVINO),
    Way("all in int8, dynamic; fours", "fours.int8", INT8),
    Way("all in int8, dynamic; one camera in each step", "encoder.int8", INT8, turns=IN_TURN),
    Way("all in int8, dynamic; fours; one camera in each step", "fours.int8", INT8, turns=IN_TURN),
    Way("other images", shift=-1),
)


@dataclass(frozen=True)
class Benchmark:
    """Measures the ways to run `small_3`."""

    folder: Path = Path("runs/big_policy")
    """Where graphs and episodes are kept."""
    steps: int = 40
    """Observations of the episode."""
    seconds: float = 180.0
    """No further observation begins after this time [s]."""
    threads: int = 2
    """Threads of one inference."""
    write: bool = False
    """Only write the graphs and the episodes."""
    only: tuple[str, ...] = ()
    """Parts of the names of the ways to measure; all by default. The first way always is."""


@dataclass
class Steps:
    """A way along the episode: its memory, the tokens that it keeps, and what it has answered."""

    way: Way
    encode: tuple[Run, Run] | None
    rest: Run
    tokens: Array = field(default_factory=lambda: np.zeros((1, 2, 84, WIDTH), np.float32))
    memory: list[Array] = field(default_factory=lambda: [np.zeros((3, 1, 8, 0, 64), np.float32)] * 2)
    seconds: list[float] = field(default_factory=list)
    logits: list[Array] = field(default_factory=list)

    def run(self, episode: dict[str, Array], number: int) -> None:
        """Answers one observation, and keeps how long that took."""
        count = len(episode["state"])
        seen = (number + count // 2) % count if self.way.shift else number
        images = [episode[name][seen] for name in CAMERAS]
        state, previous = episode["state"][number][None], episode["previous_action"][number][None]
        feed = {"text_features": episode["text_features"], "state": state, "previous_action": previous}
        feed |= {"step": np.array([number]), "past_keys": self.memory[0], "past_values": self.memory[1]}
        began = time.perf_counter()
        if self.encode is None:
            feed |= {name: image[None] for name, image in zip(CAMERAS, images, strict=True)}
        else:
            self._see(self.encode, images, number)
            feed["tokens"] = self.tokens
        logits, *self.memory = self.rest(feed)
        self.seconds.append(time.perf_counter() - began)
        self.logits.append(logits[0])

    def _see(self, encode: tuple[Run, Run], images: list[Array], number: int) -> None:
        due = (0, 1) if number == 0 else self.way.turns[number % len(self.way.turns)]
        if len(due) == 2 and self.way.together and not self.way.second:
            self.tokens = encode[0]({"images": np.stack(images)})[0][None]
            return
        for camera in due:
            self.tokens[0, camera] = encode[camera]({"images": images[camera][None]})[0][0]

    def times_ms(self) -> tuple[float, float]:
        """Medians over the cycles of the mean step and of the longest step; the first cycle is a warm-up."""
        length = len(self.way.turns)
        cycles = np.array(self.seconds[length : len(self.seconds) // length * length]).reshape(-1, length) * 1000
        return float(np.median(cycles.mean(1))), float(np.median(cycles.max(1)))


class Graphs:
    """The graphs in a folder, each loaded once for an engine."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder, self.threads = folder, threads
        self.load = cache(self._load)

    def steps(self, way: Way, kind: str) -> Steps:
        """Returns a way ready to run."""
        if not way.encoder:
            return Steps(way, None, self.load("whole"))
        names = [f"{name}{kind}" if name == KINDS else name for name in (way.encoder, way.second or way.encoder)]
        first, second = (self.load(name, way.engine, way.precision) for name in names)
        return Steps(way, (first, second), self.load(way.rest))

    def _load(self, name: str, engine: str = "onnxruntime", precision: str = "f32") -> Run:
        path = str(self.folder / f"{name}.onnx")
        if engine == OPENVINO:
            import openvino  # here: it is optional

            settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": self.threads}
            graph = openvino.Core().read_model(path)
            graph.reshape({"images": [len(CAMERAS), 224, 384, 3]})
            model = openvino.Core().compile_model(graph, "CPU", settings)
            return lambda feed: [np.array(model(feed)[0])]
        session = ort.InferenceSession(path, self._options(), providers=["CPUExecutionProvider"])
        return lambda feed: list(session.run(None, feed))

    def _options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as the server
        return options

    def product(self, *, int8: bool) -> Callable[[], None]:
        """A matrix product of DINOv2-S for both images, as `_product`, ready to run."""
        session = ort.InferenceSession(_product(int8), self._options(), providers=["CPUExecutionProvider"])
        kind: Any = np.uint8 if int8 else np.float32
        feed = {"x": np.random.default_rng(0).integers(0, 255, (2 * ROWS, WIDTH)).astype(kind)}
        return lambda: session.run(None, feed)


def _product(int8: bool) -> bytes:
    kind, weight = (np.uint8, np.int8) if int8 else (np.float32, np.float32)
    values = np.random.default_rng(1).integers(-127, 127, (WIDTH, HIDDEN)).astype(weight)
    node = helper.make_node("MatMulInteger" if int8 else "MatMul", ["x", "w"], ["y"])
    x = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), [2 * ROWS, WIDTH])
    y = helper.make_tensor_value_info("y", TensorProto.INT32 if int8 else TensorProto.FLOAT, [2 * ROWS, HIDDEN])
    graph = helper.make_graph([node], "product", [x], [y], [numpy_helper.from_array(values, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def sensitivity(graphs: Graphs, episode: dict[str, Array]) -> dict[str, float]:
    """Error of the tokens in static int8, by the kind of product left out ("" for none), as a share of their spread."""
    pair = {"images": np.stack([episode[name][-1] for name in CAMERAS])}
    exact = graphs.load("encoder")(pair)[0]
    names = {"": "encoder.static"} | {
        path.stem.removeprefix(KINDS): path.stem for path in sorted(graphs.folder.glob(f"{KINDS}*.onnx"))
    }
    return {kind: share(graphs.load(name)(pair)[0], exact, exact.mean((0, 1))) for kind, name in names.items()}


def share(got: Array, exact: Array, middle: Array) -> float:
    """Root mean square of an error, as a share of that of what it is an error of, about its middle."""
    return float(np.sqrt(np.square(got - exact).mean() / np.square(exact - middle).mean()))


def main() -> None:
    """Runs the benchmark and prints its tables."""
    args = tyro.cli(Benchmark, description=__doc__)
    if args.write or not (args.folder / f"{KINDS}down.onnx").exists():
        from benchmarks.server.big_policy_graphs import write_graphs

        write_graphs(args.folder, args.steps)
    if args.write:
        return
    episode, graphs = dict(np.load(args.folder / "episode.npz")), Graphs(args.folder, args.threads)
    print(f"{cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    errors = sensitivity(graphs, episode)
    each = [f"{error:.1%} with {kind or 'none'} left out" for kind, error in errors.items()]
    print(f"error of the tokens in static int8: {', '.join(each)}")
    kind = min((name for name in errors if name), key=errors.__getitem__)
    ways = [way for way in WAYS if not args.only or not way.encoder or any(part in way.name for part in args.only)]
    if find_spec(OPENVINO) is None:
        print("OpenVINO: none here (pip install openvino)")
        ways = [way for way in ways if way.engine != OPENVINO]
    runs = [graphs.steps(way, kind) for way in ways]
    products = {"fp32": graphs.product(int8=False), "int8": graphs.product(int8=True)}
    took: dict[str, list[float]] = {name: [] for name in products}
    random, until = np.random.default_rng(0), time.monotonic() + args.seconds
    for number in range(len(episode["state"])):
        for index in random.permutation(len(runs)):
            runs[index].run(episode, number)
        for name, product in products.items():
            began = time.perf_counter()
            product()
            took[name].append(time.perf_counter() - began)
        if time.monotonic() > until:
            break
    report(runs, kind)
    floor(took)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def report(runs: list[Steps], kind: str) -> None:
    """Prints the table of the ways."""
    exact = np.array(runs[0].logits)
    middle, usual = exact.mean(0), runs[0].times_ms()[0]
    chosen = (exact - middle).argmax(1)
    changes = np.mean(chosen[1:] != chosen[:-1])
    print(f"{len(exact)} steps, {len(set(chosen.tolist()))} actions chosen, another than before in {changes:.0%}")
    print("\n| way | step [ms] | longest of a cycle | ratio | error of the logits | equal decisions |")
    print("|---|---|---|---|---|---|")
    for one in runs:
        logits, (mean, longest) = np.array(one.logits), one.times_ms()
        same = np.mean((logits - middle).argmax(1) == chosen)
        cells = f"{mean:.0f} | {longest:.0f} | {mean / usual:.2f} | {share(logits, exact, middle):.1%} | {same:.0%}"
        print(f"| {one.way.name.format(kind=kind)} | {cells} |")


def floor(took: dict[str, list[float]]) -> None:
    """Prints the time that the encoder's products take at the speed of one of them alone."""
    products = BLOCKS * 2 * (2 * ROWS) * WIDTH * (4 * WIDTH + 2 * HIDDEN)
    attention = BLOCKS * 2 * 4 * ROWS**2 * WIDTH
    print(f"\nencoder, both images: {products / 1e9:.1f} G operations with weights, {attention / 1e9:.1f} in attention")
    speed = {name: 2 * 2 * ROWS * WIDTH * HIDDEN / np.percentile(took[name], [10, 50]) for name in took}
    for name, (best, usual) in speed.items():
        slow = speed["fp32"][0]  # attention stays in fp32
        least = 1000 * (products / best + attention / slow)
        print(f"{name} product: p50 {usual / 1e9:.0f}, p90 {best / 1e9:.0f} G operations/s; floor {least:.0f} ms")


if __name__ == "__main__":
    main()
