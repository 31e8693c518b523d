"""`cellar image`: the whole way, from locked inputs to an image that has proved itself."""

import argparse
from collections.abc import Mapping

from rich.filesize import decimal

from builder.adapters.data import evidence_files
from builder.adapters.host import host_install
from builder.cli import build as build_verb
from builder.cli import building, selection, storage, verify, wiring
from builder.commands.build import Order, Tools, key_of
from builder.commands.fetch import Wish, fetch
from builder.commands.reproduce import expected_of
from builder.domain.evidence import document
from builder.domain.host_plan import EngineName

_NEXT = {
    "docker": "docker run --rm {tag} bevformer-eval --synthetic --check-golden",
    "buildah": "buildah run $(buildah from {tag}) -- bevformer-eval --synthetic --check-golden",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    selection.add_cell_options(parser)
    build_verb.add_engine_option(parser)
    parser.add_argument("--target", choices=("runtime", "devel"), default="runtime")


def execute(args: argparse.Namespace) -> int:
    """Fetch, build and verify what is not there yet; print what was made."""
    chosen = selection.select(args)
    say = wiring.progress().say
    for warning in chosen.warnings:
        say(f"warning: {warning}")
    order = building.order(chosen, target=args.target)
    tools = building.tools(args.engine, building.work_folder(order, args.engine))
    # Nothing is installed yet: inputs that cannot be had must not cost a host its engine's setup.
    lacking = host_install.needed(EngineName(args.engine))
    evidence = _proved_before(order, tools) if lacking.empty else None
    if evidence is None:
        say(f"{order.tag}: cell {chosen.cell.id} ({chosen.why})")
        fetch(Wish(lock=order.lock, isa=chosen.own_isa), storage.fetch_tools())
        host_install.carry_out(lacking, say)
        say(f"{order.tag}: building with {tools.engine.version()}")
        build_verb.built(order, tools)
        found = verify.verified(order, tools.engine)
        verify.show(found)
        verify.refuse_failure(found)
        evidence = document(found)
    _summary(order, args.engine, evidence)
    return 0


def _proved_before(order: Order, tools: Tools) -> Mapping[str, object] | None:
    """Return the evidence of the image that the engine has, if its inputs are today's."""
    evidence = evidence_files.read(building.evidence_path(order, tools.engine.name))
    if evidence is None or evidence["failed"] or evidence["key"] != key_of(order, tools):
        return None
    found = tools.engine.find(order.tag)
    return evidence if found is not None and found.digest == evidence["digest"] else None


def _summary(order: Order, engine_name: str, evidence: Mapping[str, object]) -> None:
    rows = {
        "cell": order.recipe.selection.variant,
        "image": order.tag,
        "digest": f"{evidence['digest']}{_as_locked(order, evidence)}",
        "size": f"{decimal(int(str(evidence['size'])))} compressed",
        "verified": f"{evidence['level']} on {evidence['device']}",
        "needs": f"a CPU of {evidence['runs_from']} or later",
        "next": _NEXT[engine_name].format(tag=order.tag),
    }
    for name, value in rows.items():
        print(f"{name:<9} {value}")  # noqa: T201 - the command's result


def _as_locked(order: Order, evidence: Mapping[str, object]) -> str:
    expected = expected_of(order, str(evidence["key"]))
    if expected is None:
        return ""
    return ", as the lock says" if expected.digest == evidence["digest"] else ", not the lock's"
