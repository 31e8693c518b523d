"""One line of the table of measurements."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure of ours, what it is held against, and the goal that it was given.

    `goal` bounds the ratio ours/theirs where `theirs` is given, else `ours` itself; `at_least` says
    that more is better.
    """

    what: str
    ours: float
    unit: str
    against: str = ""
    theirs: float | None = None
    goal: float | None = None
    at_least: bool = False

    @property
    def judged(self) -> float:
        """Return the figure that the goal bounds."""
        return self.ours if self.theirs is None else self.ours / self.theirs

    @property
    def met(self) -> bool | None:
        """Say whether the goal holds; None where there is none."""
        if self.goal is None:
            return None
        return self.judged >= self.goal if self.at_least else self.judged <= self.goal

    def cells(self) -> tuple[str, ...]:
        """Return the columns of the table, as text."""
        theirs = "" if self.theirs is None else f"{self.theirs:.3g} {self.unit}"
        ratio = "" if self.theirs is None else f"{self.judged:.3g}"
        sign = ">=" if self.at_least else "<="
        goal = "" if self.goal is None else f"{sign} {self.goal:g}"
        met = {None: "", True: "yes", False: "NO"}[self.met]
        ours = f"{self.ours:.3g} {self.unit}"
        return (self.what, ours, self.against, theirs, ratio, goal, met)

    def as_json(self) -> dict[str, object]:
        """Return the row for a file."""
        return {**asdict(self), "met": self.met}
