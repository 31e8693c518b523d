"""Whether a function can be reached from outside a file without passing a guard."""

from collections.abc import Callable

from builder.domain.audit.program import FunctionReader, Program

_FAR = 3000  # functions walked back; whoever has so many ways in has an open one


class Exposure:
    """Walks callers backwards, to whatever other files, tables or the loader can enter."""

    def __init__(
        self, program: Program, reader: FunctionReader, shuts: Callable[[int], bool]
    ) -> None:
        self._program = program
        self._reader = reader
        self._shuts = shuts
        self._known: dict[int, bool] = {}

    def exposed(self, index: int) -> bool:
        """Say whether some way into `index` passes no function that `shuts`."""
        seen = {index}
        waiting = [index]
        while waiting:
            current = waiting.pop()
            known = self._known.get(current)
            if known is True or len(seen) > _FAR or self._is_root(current):
                self._known[index] = True
                return True
            if known is False:
                continue
            before = self._ways_in(current)
            if not before:  # reached in a manner that leaves no trace here: assume the worst
                self._known[index] = True
                return True
            fresh = [caller for caller in before if caller not in seen and not self._shuts(caller)]
            seen.update(fresh)
            waiting += fresh
        self._known.update(dict.fromkeys(seen, False))
        return False

    def _is_root(self, index: int) -> bool:
        program = self._program
        return index in program.exported or index in program.in_tables or index in program.starts

    def _ways_in(self, index: int) -> list[int]:
        found = [*self._reader.callers(index), *self._reader.takers(index)]
        return [caller for caller in found if caller != index]
