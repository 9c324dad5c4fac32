"""`tf2_msgs/msg/TFMessage`: that of ROS where ROS is installed, else one that is made here, without a compiler.

ROS's wheels lack tf2_msgs. To be published as bytes, a type needs a table of its name, hash, description and shape.
`visualization_msgs/MarkerArray` has the same shape, one list of messages, so a copy of its table with another name,
hash, description and list makes the type. docs/decisions/0007-tf-without-a-compiler.md says why.

Layouts: Jazzy's rosidl_runtime_c message_type_support_struct.h, rosidl_typesupport_fastrtps_cpp message_type_support.h,
rosidl_typesupport_introspection_c message_introspection.h.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import geometry_msgs.msg
from geometry_msgs.msg import TransformStamped

WHEELS = ("ros-jazzy-rclpy", "7.1.")
"""The wheels of ROS whose layouts these are, and the beginning of their versions."""

FAST, SHAPE = "rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c"
SEQUENCE_OF_MESSAGES = 145  # type_description_interfaces FieldType.FIELD_TYPE_NESTED_TYPE_UNBOUNDED_SEQUENCE
POINTER = ctypes.c_void_p
GETTER = ctypes.CFUNCTYPE(POINTER, POINTER)
CHOOSER = ctypes.CFUNCTYPE(POINTER, POINTER, ctypes.c_char_p)


class _Support(ctypes.Structure):
    """rosidl_message_type_support_t."""

    _fields_ = [
        ("identifier", ctypes.c_char_p),
        *((name, POINTER) for name in ("data", "choose", "hash", "description", "sources")),
    ]


class _Callbacks(ctypes.Structure):
    """message_type_support_callbacks_t."""

    _fields_ = [
        *((name, ctypes.c_char_p) for name in ("namespace", "name")),
        *((name, POINTER) for name in ("serialize", "deserialize", "size", "max_size", "key")),
    ]


class _Member(ctypes.Structure):
    """rosidl_typesupport_introspection_c__MessageMember; its end is of no concern here."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_uint8),
        ("bound", ctypes.c_size_t),
        ("members", POINTER),
        ("end", ctypes.c_uint8 * 80),
    ]


class _Shape(ctypes.Structure):
    """rosidl_typesupport_introspection_c__MessageMembers."""

    _fields_ = [
        *((name, ctypes.c_char_p) for name in ("namespace", "name")),
        ("count", ctypes.c_uint32),
        ("size", ctypes.c_size_t),
        ("has_key", ctypes.c_bool),
        ("members", ctypes.POINTER(_Member)),
        *((name, POINTER) for name in ("begin", "end")),
    ]


def serialized(transforms: Sequence[TransformStamped]) -> bytes:
    """A TFMessage in CDR, little-endian, as a publisher of `tf_message()` takes it."""
    body = bytearray(struct.pack("<I", len(transforms)))
    for one in transforms:
        body += struct.pack("<iI", one.header.stamp.sec, one.header.stamp.nanosec)
        for name in (one.header.frame_id, one.child_frame_id):
            text = name.encode() + b"\0"
            body += bytes(-len(body) % 4) + struct.pack("<I", len(text)) + text
        place, turn = one.transform.translation, one.transform.rotation
        body += bytes(-len(body) % 8)
        body += struct.pack("<7d", place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w)
    return b"\0\1\0\0" + bytes(body)


@lru_cache(maxsize=1)
def tf_message() -> Any:
    """The type, to publish `serialized(...)` with, or to subscribe to with `raw=True`.

    Raises ImportError, which says what to install, where there is neither tf2_msgs nor a known set of wheels.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        return _made()
    return TFMessage


def _made() -> Any:
    package, expected = WHEELS
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = "none"
    if not version.startswith(expected):
        raise ImportError(f"install tf2_msgs (apt: ros-$ROS_DISTRO-tf2-msgs): got {package} {version}, not {expected}*")
    try:
        return _Maker().message_class()
    except OSError as error:  # wheels that were installed in another way
        raise ImportError(f"install tf2_msgs (apt: ros-$ROS_DISTRO-tf2-msgs): {error}") from error


class _Maker:
    """Makes the type. Everything that ROS keeps a pointer to is an attribute, and the type keeps this."""

    def __init__(self) -> None:
        from visualization_msgs.msg import MarkerArray

        kind: Any = type(MarkerArray)
        kind.__import_type_support__()  # loads the libraries
        self._fast, self._shape = (_table(one, "visualization_msgs", "MarkerArray") for one in (FAST, SHAPE))
        own, others = _descriptions()
        self._hash = (ctypes.c_uint8 * 33)(1, *_digest(own, others))
        self._description, self._sources = _in_c(own, others), (ctypes.c_size_t * 3)()
        self._getters = [
            GETTER(lambda _: ctypes.addressof(self._hash)),
            GETTER(lambda _: self._description),
            GETTER(lambda _: ctypes.addressof(self._sources)),
        ]
        self._chooser = CHOOSER(lambda _, name: self._tables().get(name.decode()))
        self._rename()
        self._top = self._table("rosidl_typesupport_c", None)

    def message_class(self) -> Any:
        """A message class as rclpy takes it. It has no instances: messages are bytes."""
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [POINTER, ctypes.c_char_p, POINTER]
        capsule = new(ctypes.addressof(self._top), None, None)
        functions = ("_CREATE_ROS_MESSAGE", "_CONVERT_FROM_PY", "_CONVERT_TO_PY", "_DESTROY_ROS_MESSAGE")
        meta = type("Metaclass_TFMessage", (type,), {"_TYPE_SUPPORT": capsule, **dict.fromkeys(functions, capsule)})
        return meta("TFMessage", (), {"__module__": "tf2_msgs.msg", "maker": self, "__new__": _no_instance})

    def _rename(self) -> None:
        self._callbacks = _Callbacks.from_buffer_copy(_Callbacks.from_address(self._fast.data))
        self._callbacks.namespace, self._callbacks.name = b"tf2_msgs::msg", b"TFMessage"
        self._members = _Shape.from_buffer_copy(_Shape.from_address(self._shape.data))
        self._list = _Member.from_buffer_copy(self._members.members[0])
        self._list.name = b"transforms"
        self._list.members = ctypes.addressof(_table(SHAPE, "geometry_msgs", "TransformStamped"))
        self._members.namespace, self._members.name = b"tf2_msgs__msg", b"TFMessage"
        self._members.members = ctypes.pointer(self._list)
        self._fast = self._table(FAST, ctypes.addressof(self._callbacks))
        self._shape = self._table(SHAPE, ctypes.addressof(self._members))

    def _table(self, identifier: str, data: int | None) -> _Support:
        functions = (ctypes.cast(one, POINTER) for one in (self._chooser, *self._getters))
        return _Support(identifier.encode(), data, *functions)

    def _tables(self) -> dict[str, int]:
        return {FAST: ctypes.addressof(self._fast), SHAPE: ctypes.addressof(self._shape)}


def _no_instance(*_: object) -> None:
    raise TypeError("TFMessage: got a message, expected the bytes of `serialized(transforms)`")


def _table(support: str, package: str, message: str) -> _Support:
    """The generated table of a message of the wheels."""
    library = ctypes.CDLL(f"lib{package}__{support}.so")
    get = getattr(library, f"{support}__get_message_type_support_handle__{package}__msg__{message}")
    get.restype = ctypes.POINTER(_Support)
    table: _Support = get().contents
    return table


def _descriptions() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Descriptions of TFMessage and of what it refers to, as in the wheels' own JSON files (REP-2011)."""
    prefix = Path(geometry_msgs.msg.__file__).parents[5]  # PREFIX/lib/pythonX.Y/site-packages/geometry_msgs/msg
    known = json.loads((prefix / "share/geometry_msgs/msg/TransformStamped.json").read_text())
    known = known["type_description_msg"]
    stamped = known["type_description"]
    listed = {
        "type_id": SEQUENCE_OF_MESSAGES,
        "capacity": 0,
        "string_capacity": 0,
        "nested_type_name": stamped["type_name"],
    }
    own = {
        "type_name": "tf2_msgs/msg/TFMessage",
        "fields": [{"name": "transforms", "type": listed, "default_value": ""}],
    }
    return own, sorted([*known["referenced_type_descriptions"], stamped], key=lambda one: str(one["type_name"]))


def _digest(own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> bytes:
    """The hash of REP-2011 (RIHS01): SHA-256 of the description in JSON, without default values."""

    def bare(one: Mapping[str, Any]) -> dict[str, Any]:
        fields = [{"name": field["name"], "type": field["type"]} for field in one["fields"]]
        return {"type_name": one["type_name"], "fields": fields}

    whole = {"type_description": bare(own), "referenced_type_descriptions": [bare(one) for one in others]}
    return hashlib.sha256(json.dumps(whole).encode()).digest()


def _in_c(own: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> int:
    """Address of the description in C, as rclpy converts it; never freed."""
    from type_description_interfaces.msg import Field, FieldType, IndividualTypeDescription, TypeDescription

    def message(one: Mapping[str, Any]) -> IndividualTypeDescription:
        fields = [Field(**{**field, "type": FieldType(**field["type"])}) for field in one["fields"]]
        return IndividualTypeDescription(type_name=one["type_name"], fields=fields)

    kind: Any = type(TypeDescription)
    kind.__import_type_support__()
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = POINTER, [ctypes.py_object, ctypes.c_char_p]
    create = ctypes.PYFUNCTYPE(POINTER)(address(kind._CREATE_ROS_MESSAGE, None))
    convert = ctypes.PYFUNCTYPE(ctypes.c_bool, ctypes.py_object, POINTER)(address(kind._CONVERT_FROM_PY, None))
    found: int = create()
    whole = TypeDescription(
        type_description=message(own), referenced_type_descriptions=[message(one) for one in others]
    )
    assert convert(whole, found)  # it is made of the wheels' own description
    return found
