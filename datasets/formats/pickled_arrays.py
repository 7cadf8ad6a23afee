"""Dictionaries of arrays that ``numpy.save`` wrote as a pickle, read without unpickling.

The opcodes of the pickle are walked through as text (``pickletools.genops``, which runs nothing) and the few that such
files hold are followed here. Names of functions are never looked up: the three of numpy that stand in such files
(``_reconstruct``, ``dtype``, ``scalar``) are known by their spelling and stand for code of this module; any other name,
and any other opcode, is an error. Arrays are made from their bytes with plain types only.
"""

from __future__ import annotations

import pickletools
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .guarded import check_file

MAX_BYTES = 2 << 30
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NAMES = {
    **{(module, name): name for module in _MULTIARRAY for name in ("_reconstruct", "scalar")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
}
_HEADER = re.compile(rb"\{'descr': '\|O', 'fortran_order': (True|False), 'shape': \(\), \} *\n")
_TYPE = re.compile(r"b1|[iu][1248]|f[248]|O8?|U[0-9]{1,4}")
_VALUES = {
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BININT", "BININT1"),
    *("BININT2", "LONG1", "BINFLOAT"),
}
_FIXED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_MARK = object()


class _Name(NamedTuple):
    word: str


class _Type:
    def __init__(self, code: str) -> None:
        self.code, self.order = code, "|"


class _Array:
    value: Any = None


class _Bounded:
    """A file of which no more is asked for than it holds, whatever a pickle claims."""

    def __init__(self, file: Any, size: int) -> None:
        self.file, self.size = file, size
        self.readline, self.tell = file.readline, file.tell

    def read(self, count: int) -> bytes:
        return self.file.read(max(0, min(count, self.size - self.file.tell())))


def read_pickled(path: Path) -> Any:
    """What lies in a ``.npy`` file of objects.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    object
        Dictionaries, lists, tuples, text, numbers and numeric arrays.

    Raises
    ------
    ValueError
        If the file is damaged, or its pickle holds anything else.
    """
    size = check_file(path, max_bytes=MAX_BYTES).stat().st_size
    with path.open("rb") as file:
        try:
            head = file.read(10)
            header = file.read(int.from_bytes(head[8:10], "little"))
            if not head.startswith(b"\x93NUMPY\x01\x00") or not _HEADER.fullmatch(header):
                raise ValueError("expected a .npy file that holds one object")
            found = _Machine().run(_Bounded(file, size))
        except (
            ValueError,
            EOFError,
            IndexError,
            KeyError,
            TypeError,
            OverflowError,
            MemoryError,
            SyntaxError,
        ) as error:
            raise ValueError(f"{path}: {' '.join(str(error).split())[:200] or 'damaged file'}") from None
    if not isinstance(found, list) or len(found) != 1:
        raise ValueError(f"{path}: expected one object, got {type(found).__name__}")
    return found[0]


class _Machine:
    """A stack, marks and a memo, for the opcodes of such files."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: _Bounded) -> Any:
        for opcode, arg, _ in pickletools.genops(file):  # type: ignore[arg-type]
            name = opcode.name
            if name in _VALUES:
                self.stack.append(arg)
            elif name in _FIXED:
                self.stack.append(_FIXED[name])
            elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
                self.memo[int(arg) if isinstance(arg, int) else len(self.memo)] = self.stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[int(arg or 0)])
            elif name == "STOP":
                return self.last(_Array).value
            elif name not in ("PROTO", "FRAME"):
                self.step(name, arg)
        raise ValueError("the pickle ends too early")

    def last(self, kind: type) -> Any:
        value = self.stack.pop()
        if type(value) is not kind:
            raise ValueError(f"damaged pickle: expected {kind.__name__}, got {type(value).__name__}")
        return value

    def marked(self) -> list[Any]:
        out = []
        while (value := self.stack.pop()) is not _MARK:
            out.append(value)
        return out[::-1]

    def step(self, name: str, arg: Any) -> None:
        """One opcode that works on the stack."""
        if name in ("GLOBAL", "STACK_GLOBAL"):
            words = tuple(arg.split(" ", 1)) if name == "GLOBAL" else (self.stack.pop(-2), self.last(str))
            if words not in _NAMES:
                raise ValueError(
                    f"the pickle asks for {'.'.join(str(w) for w in words)}, which is not read: it may run code"
                )
            self.stack.append(_Name(_NAMES[words]))
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            self.stack.append([] if name == "EMPTY_LIST" else {})
        elif name == "TUPLE":
            self.stack.append(tuple(self.marked()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            self.stack[-count:] = [tuple(self.stack[-count:])] if len(self.stack) >= count else [()]
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS"):
            self.fill(name)
        elif name == "REDUCE":
            self.reduce()
        elif name == "BUILD":
            self.build()
        else:
            raise ValueError(f"the pickle holds {name}, which is not read: it may run code")

    def fill(self, name: str) -> None:
        """Put items into the list or dictionary below them."""
        few = {"APPEND": 1, "SETITEM": 2}.get(name)
        if few is None:
            items = self.marked()
        else:
            items = self.stack[-few:]
            del self.stack[-few:]
        if name.startswith("APPEND"):
            self.into(list).extend(items)
            return
        if len(items) % 2 or not all(isinstance(key, (str, int)) for key in items[::2]):
            raise ValueError("damaged pickle: a dictionary with keys that are no text")
        self.into(dict).update(zip(items[::2], items[1::2], strict=True))

    def into(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"damaged pickle: expected {kind.__name__}, got {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def reduce(self) -> None:
        """The three 'calls': nothing is called, they are told by name."""
        args, word = self.last(tuple), self.last(_Name).word
        if word == "_reconstruct" and args[:1] == (_Name("ndarray"),):
            self.stack.append(_Array())
        elif word == "dtype" and isinstance(args[0], str) and _TYPE.fullmatch(args[0]):
            self.stack.append(_Type(args[0]))
        elif word == "scalar" and len(args) == 2 and isinstance(args[0], _Type) and isinstance(args[1], bytes):
            self.stack.append(_from_bytes(args[1], args[0], ()).item())
        else:
            raise ValueError(f"the pickle makes something of numpy.{word} that is not read")

    def build(self) -> None:
        state = self.last(tuple)
        target = self.stack[-1]
        if type(target) is _Type and len(state) >= 5 and state[1] in ("<", ">", "|", "=") and state[2:5] == (None,) * 3:
            target.order = state[1]
        elif type(target) is _Array and len(state) == 5 and type(state[2]) is _Type and type(state[1]) is tuple:
            _, shape, kind, fortran, content = state
            if kind.code.startswith("O"):
                if type(content) is not list or (shape and (len(shape) != 1 or shape[0] != len(content))):
                    raise ValueError("damaged pickle: an array of objects in another shape")
                target.value = content
            elif type(content) is bytes:
                target.value = _from_bytes(content, kind, shape, "F" if fortran else "C")
            else:
                raise ValueError("damaged pickle: an array without bytes")
        else:
            raise ValueError("the pickle sets something that is not read")


def _from_bytes(content: bytes, kind: _Type, shape: tuple[Any, ...], order: str = "C") -> np.ndarray:
    if kind.code.startswith("O") or not all(type(n) is int and 0 <= n < 2**40 for n in shape) or len(shape) > 8:
        raise ValueError("damaged pickle: an array of another kind")
    return np.frombuffer(content, f"{kind.order}{kind.code}").reshape(shape, order=order)  # type: ignore[call-overload]


def plain(value: Any) -> Any:
    """An array stand-in as its array; everything else as it is.

    Parameters
    ----------
    value : object
        What :func:`read_pickled` gave.

    Returns
    -------
    object
    """
    return value.value if isinstance(value, _Array) else value
