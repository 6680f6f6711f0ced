"""Values of a script as JSON, with arrays beside the text: data in, data out, no code.

A value of a type that JSON lacks becomes an object with one key, which begins with ``$``. So every value comes back
with its own type, NaN and tuples included.
"""

from __future__ import annotations

import base64
import math
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.awsbatch.decoding import text, whole
from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rios_batch.model.spec import Array

_AS_THEY_ARE = (bool, int, str, type(None))
_ARRAY_KINDS = "biufcMmSU"  # all but object and void
_MOST_DIMENSIONS = 32  # numpy's own limit
# For each type: its key, and the way there and back. repr keeps every bit of a float; JSON has no NaN.
_SCALARS: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    float: ("$float", repr, float),
    complex: (
        "$complex",
        lambda z: [repr(z.real), repr(z.imag)],
        lambda z: complex(float(z[0]), float(z[1])),
    ),
    bytes: ("$bytes", lambda data: base64.b64encode(data).decode(), base64.b64decode),
}
_FROM_SCALAR = {key: back for key, _, back in _SCALARS.values()}
_COLLECTIONS: tuple[type, ...] = (list, tuple, set, frozenset)
_MAPPINGS: tuple[type, ...] = (dict, Counter, OrderedDict)
_TO_MAPPING = {f"${kind.__name__}": kind for kind in _MAPPINGS}
_TO_COLLECTION: dict[str, type] = {f"${kind.__name__}": kind for kind in _COLLECTIONS}


class ArrayPile:
    """Arrays that go beside the JSON text.

    Attributes
    ----------
    index : type and shape of each array, for the text.
    data : bytes of each array, to go after the text.
    """

    def __init__(self) -> None:
        self.index: list[dict[str, Any]] = []
        self.data: list[bytes] = []

    def put(self, array: Array) -> int:
        """Add an array and return its number."""
        self.index.append({"dtype": array.dtype.str, "shape": array.shape})
        self.data.append(array.tobytes())
        return len(self.index) - 1


def read_arrays(index: Sequence[dict[str, Any]], data: bytes | memoryview) -> list[Array]:
    """Return the arrays of a pile as copies.

    Parameters
    ----------
    index : the pile's index, from the text.
    data : the pile's data, end to end.

    Raises
    ------
    TypeError, ValueError : ``data`` is too short, or the index describes nothing that `ArrayPile.put` takes.
    """
    arrays: list[Array] = []
    start = 0
    for entry in index:
        dtype, shape = np.dtype(text(entry["dtype"])), tuple(map(whole, entry["shape"]))
        if dtype.kind not in _ARRAY_KINDS or not dtype.itemsize or len(shape) > _MOST_DIMENSIONS:
            raise ValueError(f"an array of type {dtype} with {len(shape)} dimensions")
        end = start + math.prod(shape) * dtype.itemsize
        if end > len(data):
            raise ValueError(f"arrays of more than {len(data)} bytes")
        arrays.append(np.frombuffer(data[start:end], dtype).reshape(shape).copy())
        start = end
    return arrays


def encode_value(value: Any, arrays: ArrayPile, name: str) -> Any:
    """Return a value in a form that ``json.dumps`` takes.

    Raises
    ------
    ParameterError : the value, or a value inside it, is of another type. The message says which one, by ``name``.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind in _SCALARS:
        key, encode, _ = _SCALARS[kind]
        return {key: encode(value)}
    # Subclasses of arrays carry more, such as a mask.
    if (kind is np.ndarray or isinstance(value, np.generic)) and value.dtype.kind in _ARRAY_KINDS:
        return {"$array" if kind is np.ndarray else "$scalar": arrays.put(np.asarray(value))}
    if kind in _COLLECTIONS:
        return {f"${kind.__name__}": [encode_value(v, arrays, f"{name}[{i}]") for i, v in enumerate(value)]}
    if kind in _MAPPINGS:
        return {f"${kind.__name__}": [_encode_item(item, arrays, name) for item in value.items()]}
    raise ParameterError(
        f"{name} is a {kind.__module__}.{kind.__qualname__}, which does not come back from a worker on another "
        "machine; None, numbers, text, bytes, numpy arrays, and lists, tuples, sets and dicts of these do"
    )


def _encode_item(item: tuple[Any, Any], arrays: ArrayPile, name: str) -> list[Any]:
    key, value = item
    return [encode_value(key, arrays, f"a key of {name}"), encode_value(value, arrays, f"{name}[{key!r}]")]


def decode_value(value: Any, arrays: Sequence[Array]) -> Any:
    """Return the value that `encode_value` was given.

    Raises
    ------
    ArithmeticError, LookupError, RecursionError, TypeError, ValueError : the value is nothing that `encode_value`
        makes.
    """
    if not isinstance(value, dict):
        return value
    ((key, content),) = value.items()
    if key in _FROM_SCALAR:
        return _FROM_SCALAR[key](content)
    if key in _TO_COLLECTION:
        return _TO_COLLECTION[key](decode_value(item, arrays) for item in content)
    if key in _TO_MAPPING:
        return _TO_MAPPING[key]({decode_value(k, arrays): decode_value(v, arrays) for k, v in content})
    if key not in ("$array", "$scalar"):
        raise ValueError(f"a value of unknown kind {key!r}")
    return arrays[content] if key == "$array" else arrays[content][()]
