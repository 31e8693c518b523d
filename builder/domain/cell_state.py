"""How far a cell has come: what is declared, locked, rendered, built and verified, no more."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Proof:
    """One recorded verification: the level that it reached, and on what."""

    device: str  # cpu, or a GPU by its name
    level: str  # L0 to L3


@dataclass(frozen=True, slots=True, kw_only=True)
class CellState:
    """What stands in the repository for one cell.

    `quoted` counts locked inputs whose hash no fetch has confirmed, `unlocked` those that could
    not be locked at all; `digest` is that of the image that the lock expects, and `gpu` the
    compute capabilities it is compiled for, where those are not all of the cell's; `isa` is the
    lowest level at which that image was proven.
    """

    locked: bool = False
    quoted: int = 0
    unlocked: int = 0
    rendered: bool = False
    digest: str | None = None
    gpu: str = ""
    proofs: tuple[Proof, ...] = ()
    isa: str = ""

    @property
    def stage(self) -> str:
        """Return how far the cell has come, in one word."""
        if self.proofs:
            return "verified"
        if self.digest:
            return "built"
        if self.rendered:
            return "rendered"
        return "locked" if self.locked else "declared"

    def __str__(self) -> str:
        words = []
        if self.locked:
            gaps = [
                f"{count} {what}"
                for count, what in ((self.quoted, "quoted"), (self.unlocked, "missing"))
                if count
            ]
            words.append(f"locked ({', '.join(gaps)})" if gaps else "locked")
        if self.rendered:
            words.append("rendered")
        if self.digest:
            words.append(f"built for {self.gpu}" if self.gpu else "built")
        words += [f"{proof.level} on {proof.device}" for proof in self.proofs]
        words += [f"proven at {self.isa}"] if self.isa else []
        return ", ".join(words) or "declared"
