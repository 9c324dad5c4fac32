"""External data of an ONNX file, found without onnxruntime, which would load it from the working folder."""

from __future__ import annotations

from collections.abc import Iterator

from policy_server.errors import BundleError

# Fields of onnx.proto by message: number -> the message that it holds. Whatever holds tensors is here.
MESSAGES: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
NAME, EXTERNAL_DATA, DATA_LOCATION = 8, 13, 14  # fields of TensorProto
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_DEPTH = 64


def check_whole(name: str, data: bytes, *, is_loaded: bool = True) -> None:
    """Raises BundleError unless the ONNX graph in the file `name` has all of its weights in `data`.

    Also for what is no graph, if it `is_loaded` next; while a bundle is written that is left to whoever tries it.
    """
    try:
        outside = next(_outside(memoryview(data), "Model", 0), None)
    except (ValueError, IndexError) as error:
        if not is_loaded:
            return
        raise BundleError(f"{name}: got '{error}', expected a graph that onnxruntime loads") from error
    if outside is not None:
        what = f"the weights of '{outside}' in another file"
        raise BundleError(f"{name}: got {what}, expected all weights inside, where the bundle's hash covers them")


def _outside(data: memoryview, message: str, depth: int) -> Iterator[str]:
    """The names of the tensors in `data`, a `message`, that are kept in other files."""
    if depth > MAX_DEPTH:
        raise ValueError("graphs within graphs too deep")
    name, is_outside = "", False
    for number, value in _fields(data):
        if message != "Tensor":
            inner = MESSAGES[message].get(number)
            if inner and isinstance(value, memoryview):
                yield from _outside(value, inner, depth + 1)
        elif number == NAME and isinstance(value, memoryview):
            name = bytes(value[:80]).decode(errors="replace")
        elif number == EXTERNAL_DATA or (number == DATA_LOCATION and value):
            is_outside = True
    if is_outside:
        yield name


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields (number, value) of every field of a protobuf message; ValueError or IndexError if it is not one."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            length, at = _varint(data, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + length > len(data):
            raise ValueError("a file that is cut short")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number that does not end")
