"""C++ names for people, by the C++ runtime's own demangler where this host has one."""

import ctypes
from collections.abc import Callable
from functools import lru_cache

_LIBRARIES = ("libstdc++.so.6", "libc++abi.so.1")


def demangler() -> Callable[[str], str]:
    """Return a function from symbols to readable names; without a C++ runtime names stay."""
    for name in _LIBRARIES:
        try:
            function = ctypes.CDLL(name)["__cxa_demangle"]
        except (OSError, AttributeError):
            continue
        return _wrapped(function)
    return lambda symbol: symbol


def _wrapped(function: "ctypes._NamedFuncPointer") -> Callable[[str], str]:
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    free = ctypes.CDLL(None)["free"]
    free.argtypes = [ctypes.c_void_p]

    @lru_cache(maxsize=65536)
    def demangle(symbol: str) -> str:
        if not symbol.startswith("_Z"):
            return symbol
        found = function(symbol.split(".", maxsplit=1)[0].encode(), None, None, None)
        if not found:
            return symbol
        text = ctypes.string_at(found).decode("utf-8", "replace")
        free(found)
        return text

    return demangle
