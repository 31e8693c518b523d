"""`cellar prove`: an image's workloads on an emulated CPU, or on this host's own."""

import argparse
import json
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from builder.adapters.audit.audit_cache import AuditCache
from builder.adapters.audit.audit_target import Audited, TargetAuditor
from builder.adapters.audit.auditor import Auditor, processors
from builder.adapters.audit.demangle import demangler
from builder.adapters.audit.image_files import open_image
from builder.adapters.data import evidence_files
from builder.adapters.proof import native, qemu, rootfs, workload_files
from builder.adapters.proof.proof_documents import proof_document
from builder.adapters.proof.tripwires import Tripwires
from builder.cli import wiring
from builder.cli.audit import Docker, cache_folder
from builder.commands import prove as command
from builder.commands import prove_text
from builder.domain.cpu_model import CpuChoice, choose_cpu
from builder.domain.isa import highest_level
from builder.domain.proof import Outcome, Proof, Suspect, Workload, imports, suspects
from builder.errors import HostError, UsageError, VerificationError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cellar prove`."""
    parser.add_argument("image", metavar="IMAGE", help="an image's name, OCI layout or archive")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--cpu", default="x86-64-v2", metavar="LEVEL|MODEL", help="default: x86-64-v2"
    )
    where.add_argument(
        "--native", action="store_true", help="on this host's own CPU, and its GPUs, in containers"
    )
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="one more workload (the imports of all compiled packages always are)",
    )
    parser.add_argument("--workloads", type=Path, metavar="FILE", help="more, from a YAML file")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="run only it")
    parser.add_argument("--limit", type=int, default=1800, metavar="S", help="seconds a workload")
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="keep the proof there, for the passport"
    )
    parser.add_argument("--json", action="store_true", help="print the proof as JSON")


def execute(args: argparse.Namespace) -> int:
    """Prove the image; 0 when every workload passed, 8 otherwise."""
    cpu = None if args.native else choose_cpu(args.cpu, qemu.models())
    given = [*(workload_files.load(args.workloads) if args.workloads else ())]
    given += [_workload(text) for text in args.run]
    audited = _audit(args.image)
    _refuse_nvidia(audited)
    chosen = command.workloads(imports(audited.files), given, args.only)
    proof = (
        _natively(audited, chosen, args) if cpu is None else _emulated(audited, chosen, cpu, args)
    )
    if args.record:
        _keep(proof, args.record)
    _print(proof, as_json=args.json)
    return 0 if proof.holds else VerificationError.exit_code


def _emulated(
    audited: Audited, chosen: Sequence[Workload], cpu: CpuChoice, args: argparse.Namespace
) -> Proof:
    with _unpacked(args.image) as root:
        image = qemu.EmulatedImage(root, cpu.model, audited.environment)
        level = cpu.level or highest_level(image.features)
        wires = Tripwires(root, suspects(audited.files, level))

        def run() -> tuple[Sequence[Outcome], Sequence[Suspect]]:
            outcomes = []
            for workload in chosen:
                wiring.progress().say(f"{workload.name} on {cpu.model}")
                once = partial(image.run, workload, limit=args.limit)
                outcomes.append(image.explain(wires.run(workload, once), limit=args.limit))
            return outcomes, wires.suspects

        emulator = qemu.version()
        return command.prove(_subject(audited), cpu, image.features, emulator=emulator, run=run)


def _natively(audited: Audited, chosen: Sequence[Workload], args: argparse.Namespace) -> Proof:
    """Run the workloads in containers: they prove what this host's CPU has, and nothing below."""
    features = native.cpu_flags()
    cpu = CpuChoice(model=native.cpu_name(), level=highest_level(features))
    image = native.NativeImage(args.image)

    def run() -> tuple[Sequence[Outcome], Sequence[Suspect]]:
        outcomes = []
        for workload in chosen:
            wiring.progress().say(f"{workload.name} on {cpu.model}")
            outcomes.append(image.run(workload, limit=args.limit))
        return outcomes, ()

    return command.prove(_subject(audited), cpu, features, emulator="", run=run)


def _subject(audited: Audited) -> command.Subject:
    return command.Subject(target=audited.target, digest=audited.digest, files=audited.files)


def _keep(proof: Proof, folder: Path) -> None:
    """Write the proof beside the other evidence, under the level and model that it is about."""
    model = re.sub(r"[^A-Za-z0-9.-]+", "-", proof.model.split(",")[0])
    image = proof.digest.removeprefix("sha256:")[:12]
    path = folder / f"proof-{image}-{proof.level or 'no-level'}-{model}.json"
    evidence_files.write(evidence_files.dated(proof_document(proof)), path)
    wiring.progress().say(f"wrote {path}")


def _print(proof: Proof, *, as_json: bool) -> None:
    if as_json:
        json.dump(proof_document(proof), sys.stdout, indent=1)
        print()  # noqa: T201 - stdout is this verb's data
        return
    for line in prove_text.lines(proof, demangler()):
        print(line)  # noqa: T201 - stdout is this verb's data


def _workload(text: str) -> Workload:
    name, equals, words = text.partition("=")
    try:
        argv = tuple(shlex.split(words))
    except ValueError:  # a quotation mark that nothing closes
        argv = ()
    if not equals or not name or not argv:
        message = f"--run {text!r} is not NAME=COMMAND"
        raise UsageError(message, hint="for example --run 'sum=python3 -c \"print(1+1)\"'")
    return Workload(name=name, argv=argv)


def _audit(image: str) -> Audited:
    cache = AuditCache(cache_folder())
    auditor = Auditor(cache, processors(), wiring.progress().say)
    return TargetAuditor(auditor, cache, Docker()).audit([image])


def _refuse_nvidia(audited: Audited) -> None:
    """Refuse what NVIDIA's container licence (4a) forbids: its software without its GPUs."""
    owned = [file.name for file in audited.files if file.owner]
    if owned and not Path("/dev/nvidiactl").exists():
        message = (
            f"{audited.target} holds NVIDIA's software ({owned[0]}), this host has no such GPU"
        )
        raise HostError(message, hint="its licence allows runs on hosts with an NVIDIA GPU only")


@contextmanager
def _unpacked(image: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cellar-prove-") as scratch:
        archive = Path(image)
        if not archive.exists():
            archive = Path(scratch) / "image.tar"
            Docker().save(image, archive)
        root = Path(scratch) / "root"
        root.mkdir()
        with open_image(archive) as opened:
            rootfs.unpack(opened, opened.head(), root)
        yield root
