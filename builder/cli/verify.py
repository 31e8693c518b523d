"""`cellar verify`: run the image's tests and record the evidence."""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from builder.adapters.data import evidence_files
from builder.adapters.engines import image_tests, oci
from builder.cli import audit, building, selection, wiring
from builder.cli.build import add_engine_option
from builder.commands.build import Order
from builder.commands.verify import Inspection, Tools, verify
from builder.domain.engine import Engine
from builder.domain.evidence import Evidence, Outcome, Recorded, document
from builder.domain.image import ImageRef
from builder.errors import VerificationError

_WIDTHS = {"check": 3, "seen": 2}  # shares of what the narrow columns leave
_SHOWN = 120  # characters of what a check saw, where it did not fail
_MARKS = {Outcome.PASSED: "[green]ok", Outcome.FAILED: "[red]FAILED", Outcome.SKIPPED: "skipped"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    selection.add_cell_options(parser)
    add_engine_option(parser)
    parser.add_argument("--target", choices=("runtime", "devel"), default="runtime")
    parser.add_argument(
        "--results",
        type=Path,
        help="what the tests found on another machine (pytest tests/image --bundle --results)",
    )
    parser.add_argument("--json", action="store_true", help="print the evidence as JSON")


def execute(args: argparse.Namespace) -> int:
    """Verify, print the table, and write the evidence; 8 where a check failed."""
    order = building.order(selection.select(args), target=args.target)
    recorded = image_tests.read_results(args.results) if args.results else None
    evidence = verified(order, building.engine(args.engine), recorded)
    if args.json:
        json.dump(document(evidence), sys.stdout, indent=1)
        print()  # noqa: T201 - stdout is this verb's data
    else:
        show(evidence)
    refuse_failure(evidence)
    return 0


def verified(order: Order, engine: Engine, recorded: Recorded | None = None) -> Evidence:
    """Verify the image of `order`, or take what is `recorded`, and write its evidence."""
    root, progress = wiring.root(), wiring.progress()
    options = ["--engine", engine.name, "--target", order.target, *_selected(order)]
    tools = Tools(
        engine=engine,
        tests=partial(image_tests.run_tests, root, options, progress),
        inspect=partial(_inspect, engine, order),
        key=partial(_key_of, order, engine),
        recorded=recorded,
    )
    evidence = verify(order, tools)
    where = "elsewhere" if recorded else engine.name
    path = building.evidence_path(order, where)
    evidence_files.write(evidence_files.dated(document(evidence)), path)
    return evidence


def _key_of(order: Order, engine: Engine, image: ImageRef) -> str:
    """Return the inputs that gave this image; empty where it was not built here."""
    note = evidence_files.read(building.note_path(order, engine.name)) or {}
    return str(note["key"]) if note.get("digest") == image.digest else ""


def show(evidence: Evidence) -> None:
    """Print the checks as a table."""
    table = Table(box=None, pad_edge=False)
    for column in ("level", "", "check", "s", "seen"):
        table.add_column(column, overflow="fold", ratio=_WIDTHS.get(column))
    for check in sorted(evidence.checks, key=lambda check: check.level):
        mark, seconds = _MARKS[check.outcome], f"{check.seconds:.1f}"
        shown = None if check.outcome is Outcome.FAILED else _SHOWN
        name, seen = escape(check.name), escape(check.detail[:shown])
        table.add_row(check.level.name, mark, name, seconds, seen)
    Console().print(table)
    level = evidence.level.name if evidence.level is not None else "nothing"
    print(f"{evidence.image}@{evidence.digest}: {level} proven on {evidence.device}")  # noqa: T201


def refuse_failure(evidence: Evidence) -> None:
    """Raise VerificationError, naming the checks, where one failed."""
    if evidence.failed:
        names = "; ".join(f"{check.name} ({check.level.name})" for check in evidence.failed)
        message = f"{evidence.image}: {len(evidence.failed)} checks failed: {names}"
        raise VerificationError(message, hint="the table above says what each of them saw")


def _inspect(engine: Engine, order: Order, image: ImageRef) -> Inspection:
    """Audit every binary of the image under its reviewed waivers, and add up its layers."""
    with TemporaryDirectory() as folder:
        layout = Path(folder) / "layout"
        engine.save(image, into=layout)
        size = sum(oci.read_image(layout).sizes)
        selection = order.recipe.selection
        waivers = wiring.root() / "images" / selection.image / "waivers.yaml"
        found = audit.audited(str(layout), selection.isa, waivers if waivers.is_file() else None)
    floors = building.matrix(selection.image).tables.floors(selection.cell.id)
    return Inspection(
        size=size,
        audit=found,
        floors=tuple(row for row in floors if row.rebuild not in selection.rebuilds),
        replaced=tuple(row for row in floors if row.rebuild in selection.rebuilds),
    )


def _selected(order: Order) -> list[str]:
    chosen = order.recipe.selection
    gpus = ",".join(str(arch) for arch in chosen.gpu_archs)
    plain = chosen.gpu_archs == chosen.cell.gpu_archs
    words = ["--cell", chosen.cell.id, "--isa", str(chosen.isa)]
    return words if plain else [*words, "--gpu", gpus]
