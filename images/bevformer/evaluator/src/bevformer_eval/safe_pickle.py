"""Pickles read as data: what they would call is looked up in a closed table, never imported."""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from typing import Any, BinaryIO, Callable, Dict, List, Mapping

Handler = Callable[..., Any]
Globals = Mapping[str, Handler]  # "module.name" to what stands in for it


class UnsafePickleError(Exception):
    """The pickle asks for something that plain data never needs; nothing of it was executed."""


class DamagedPickleError(Exception):
    """The bytes are no whole pickle."""


class Opaque:
    """A value of no interest that was described by a known harmless type, and never built."""

    def __init__(self, *_: Any) -> None:
        """Take any description, and keep none of it."""


class _Bounded:
    """A stream that gives at most `limit` bytes, and short lines: a pickle's text is short."""

    MAX_LINE = 4096

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._left:
            msg = "it announces more data than a checkpoint's structure can need"
            raise DamagedPickleError(msg)
        self._left -= size
        return self._stream.read(size)

    def readline(self) -> bytes:
        line = self._stream.readline(min(self.MAX_LINE, self._left))
        self._left -= len(line)
        return line


class _Mark:
    """The stack's marker object."""


class _Global:
    """A name that the pickle wants to call: inert until `_Machine` looks its handler up."""

    def __init__(self, name: str, handler: Handler) -> None:
        self.name = name
        self.handler = handler


def _key(value: Any) -> Any:
    """Return value if it is a plain key: a deep tuple's hash would exhaust the C stack."""
    if isinstance(value, (str, bytes, int, float, type(None))):
        return value
    raise TypeError(type(value))


_MARK = _Mark()
_LITERALS: Dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(
    (
        *("INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    )
)
_EMPTY: Dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The pickle machine, without the instructions that reach outside of it."""

    def __init__(self, known: Globals, persistent: Handler) -> None:
        self._known = known
        self._persistent = persistent
        self._stack: List[Any] = []
        self._memo: Dict[int, Any] = {}

    def run(self, stream: BinaryIO) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return self._stack.pop()
            self._step(opcode.name, argument)
        raise DamagedPickleError("it has no end")

    def _step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _LITERALS:
            self._stack.append(_LITERALS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self._stack.append(tuple(self._take(_TUPLES[name])))
        else:
            step = getattr(self, f"_do_{name.lower()}", None)
            if step is None:
                msg = f"it uses the pickle instruction {name}"
                raise UnsafePickleError(msg)
            step(argument)

    def _take(self, count: int) -> List[Any]:
        taken = self._stack[-count:]
        if len(taken) < count:
            raise IndexError(count)
        del self._stack[-count:]
        return taken

    def _take_to_mark(self) -> List[Any]:
        place = max(i for i, item in enumerate(self._stack) if item is _MARK)
        taken = self._stack[place + 1 :]
        del self._stack[place:]
        return taken

    def _do_proto(self, argument: int) -> None:
        """Accept any protocol: unknown instructions are refused one by one."""

    def _do_frame(self, argument: int) -> None:
        """Ignore framing."""

    def _do_mark(self, _: None) -> None:
        self._stack.append(_MARK)

    def _do_pop(self, _: None) -> None:
        self._stack.pop()

    def _do_pop_mark(self, _: None) -> None:
        self._take_to_mark()

    def _do_dup(self, _: None) -> None:
        self._stack.append(self._stack[-1])

    def _do_tuple(self, _: None) -> None:
        self._stack.append(tuple(self._take_to_mark()))

    def _do_list(self, _: None) -> None:
        self._stack.append(self._take_to_mark())

    def _do_dict(self, _: None) -> None:
        items = self._take_to_mark()
        self._stack.append(dict(zip(map(_key, items[::2]), items[1::2])))

    def _do_frozenset(self, _: None) -> None:
        self._stack.append(frozenset(map(_key, self._take_to_mark())))

    def _do_append(self, _: None) -> None:
        (item,) = self._take(1)
        self._extend([item])

    def _do_appends(self, _: None) -> None:
        self._extend(self._take_to_mark())

    def _extend(self, items: List[Any]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Opaque):
            raise TypeError(type(target))

    def _do_additems(self, _: None) -> None:
        items = self._take_to_mark()
        if type(self._stack[-1]) is not set:
            raise TypeError(type(self._stack[-1]))
        self._stack[-1].update(map(_key, items))

    def _do_setitem(self, _: None) -> None:
        self._set_items(self._take(2))

    def _do_setitems(self, _: None) -> None:
        self._set_items(self._take_to_mark())

    def _set_items(self, items: List[Any]) -> None:
        target = self._stack[-1]
        if type(target) in (dict, OrderedDict):
            target.update(zip(map(_key, items[::2]), items[1::2]))
        elif not isinstance(target, Opaque):
            raise TypeError(type(target))

    def _do_put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    _do_binput = _do_long_binput = _do_put

    def _do_memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _do_get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    _do_binget = _do_long_binget = _do_get

    def _do_global(self, argument: str) -> None:
        self._look_up(argument.replace(" ", ".", 1))

    def _do_stack_global(self, _: None) -> None:
        module, name = self._take(2)
        self._look_up(f"{module}.{name}")

    def _look_up(self, name: str) -> None:
        if name not in self._known:
            msg = f"it asks for {name[:80]!r}"
            raise UnsafePickleError(msg)
        self._stack.append(_Global(name, self._known[name]))

    def _do_reduce(self, _: None) -> None:
        function, arguments = self._take(2)
        if type(function) is not _Global or type(arguments) is not tuple:
            raise UnsafePickleError("it calls what is no known name")
        self._stack.append(function.handler(*arguments))

    _do_newobj = _do_reduce

    def _do_build(self, _: None) -> None:
        target, state = self._take(2)
        # A state dict's OrderedDict carries torch's `_metadata`, which is of no interest.
        if not isinstance(target, (OrderedDict, Opaque)) or isinstance(state, _Global):
            raise UnsafePickleError("it sets the attributes of what is no plain container")
        self._stack.append(target)

    def _do_binpersid(self, _: None) -> None:
        (identity,) = self._take(1)
        self._stack.append(self._persistent(identity))


def global_name(value: Any) -> str:
    """Return the name of a global that was used as a value, or '' for anything else."""
    return value.name if type(value) is _Global else ""


def load(stream: BinaryIO, known: Globals, persistent: Handler, limit: int = 1 << 24) -> Any:
    """Return what the pickle at the stream's position describes, reading at most `limit` bytes.

    Of what it would import and call, only the names in `known` exist, as their handlers;
    `persistent` answers its references to outside data. Raises UnsafePickleError for any other
    name or instruction, DamagedPickleError for bytes that end early or make no sense.
    """
    try:
        return _Machine(known, persistent).run(_Bounded(stream, limit))
    except (UnsafePickleError, DamagedPickleError):
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OverflowError,
        MemoryError,
        RecursionError,
    ) as error:
        msg = f"it ends early or makes no sense ({type(error).__name__})"
        raise DamagedPickleError(msg) from error
