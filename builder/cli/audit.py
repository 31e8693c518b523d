"""`cellar audit`: which CPUs and GPUs the binaries of a target need."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from builder.adapters import environment, process, templates
from builder.adapters.audit import audit_waivers
from builder.adapters.audit.audit_cache import AuditCache
from builder.adapters.audit.audit_documents import baseline_text, image_document, read_baseline
from builder.adapters.audit.audit_target import TargetAuditor
from builder.adapters.audit.auditor import Auditor, processors
from builder.adapters.audit.demangle import demangler
from builder.adapters.audit.image_files import open_image
from builder.adapters.data import passport_files
from builder.cli import wiring
from builder.commands import audit as command
from builder.commands import audit_page, audit_text
from builder.domain.audit.baseline import baseline, worse
from builder.domain.audit.report import ImageAudit, Waiver, unserved
from builder.domain.audit.verdicts import AuditVerdict
from builder.domain.gpu import ComputeCapability
from builder.domain.isa import IsaLevel, parse_level
from builder.domain.sealed import LABEL
from builder.errors import CellarError, HostError, StorageError, UsageError, VerificationError

_FAIL_ON = {verdict.value: verdict for verdict in AuditVerdict if verdict > AuditVerdict.GUARDED}
_MANY = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cellar audit`."""
    parser.add_argument(
        "target",
        nargs="+",
        metavar="TARGET",
        help="an image's name, an OCI layout or archive, a folder, a wheel, or ELF files",
    )
    parser.add_argument(
        "--isa", default="x86-64-v2", metavar="LEVEL", help="the level (default: x86-64-v2)"
    )
    parser.add_argument(
        "--gpu", default="", metavar="X.Y[,X.Y]", help="the GPUs that device code must serve"
    )
    parser.add_argument(
        "--fail-on",
        choices=sorted(_FAIL_ON),
        default=AuditVerdict.INIT_FAIL.value,
        help="end with exit code 8 from this verdict on (default: init-fail)",
    )
    parser.add_argument("--json", action="store_true", help="print the audit as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page to look at")
    parser.add_argument("--waivers", type=Path, metavar="FILE", help="reviewed waivers (YAML)")
    parser.add_argument(
        "--baseline", type=Path, metavar="FILE", help="fail if something got worse since then"
    )
    parser.add_argument(
        "--write-baseline", type=Path, metavar="FILE", help="write what is open now for later"
    )
    parser.add_argument("--all", action="store_true", help="show every function that is listed")
    parser.add_argument("--no-cache", action="store_true", help="decode everything anew")
    parser.add_argument("--jobs", type=int, default=processors(), metavar="N", help="processes")


def execute(args: argparse.Namespace) -> int:
    """Audit the target; 8 when a verdict is as bad as --fail-on says, or a GPU is not served.

    Without --gpu an image is held against the GPUs that it declares, which never fails it.
    """
    level = parse_level(args.isa)
    asked = _gpus(args.gpu)
    gpus = asked or declared_gpus(args.target)
    audit = _audit(args, level)
    if args.html:
        _write_page(audit, gpus, args.html)
    if args.json:
        json.dump(image_document(audit, gpus), sys.stdout, indent=1)
        print()  # noqa: T201 - stdout is this verb's data
    else:
        most = sys.maxsize if args.all else _MANY
        for line in audit_text.lines(audit, gpus, demangler(), most):
            print(line)  # noqa: T201 - stdout is this verb's data
    got_worse = _compare(audit, args)
    fails = audit.verdict >= _FAIL_ON[args.fail_on] or unserved(audit, asked) or got_worse
    return VerificationError.exit_code if fails else 0


def audited(target: str, level: IsaLevel, waivers: Path | None = None) -> ImageAudit:
    """Audit one target at `level` with the defaults of `cellar audit`, and the `waivers` given."""
    defaults = argparse.Namespace(
        target=[target], jobs=processors(), no_cache=False, waivers=waivers
    )
    return _audit(defaults, level)


def _compare(audit: ImageAudit, args: argparse.Namespace) -> tuple[str, ...]:
    """Hold the audit against --baseline, and write --write-baseline."""
    now = baseline(audit)
    found: tuple[str, ...] = ()
    if args.baseline:
        before = read_baseline(args.baseline)
        if before.level is not now.level:
            message = f"{args.baseline} is of {before.level}, this audit of {now.level}"
            raise UsageError(message, hint=f"audit with --isa {before.level}")
        found = worse(before, now)
        for text in found:
            wiring.progress().say(f"worse: {text}")
    if args.write_baseline:
        _write(args.write_baseline, baseline_text(now))
    return found


def _write_page(audit: ImageAudit, gpus: Sequence[ComputeCapability], path: Path) -> None:
    page = audit_page.context(audit, gpus, demangler())
    folder = Path(templates.__file__).resolve().parents[2] / "templates"
    text = templates.Renderer(folder).render("audit.html.j2", page)
    _write(path, text)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}"
        raise StorageError(message, hint="name another file") from error
    wiring.progress().say(f"wrote {path}")


def _audit(args: argparse.Namespace, level: IsaLevel) -> ImageAudit:
    if args.jobs < 1:
        message = f"--jobs {args.jobs} leaves no process to work"
        raise UsageError(message, hint="give 1 or more")
    waivers: Sequence[Waiver] = audit_waivers.load(args.waivers) if args.waivers else ()
    cache = None if args.no_cache else AuditCache(cache_folder())
    auditor = Auditor(cache, args.jobs, wiring.progress().say)
    found = TargetAuditor(auditor, cache, Docker()).audit(args.target)
    return command.audit(
        (found.target, found.digest),
        found.files,
        found.environment,
        level=level,
        waivers=waivers,
    )


def cache_folder() -> Path:
    """Return CELLAR_AUDIT_CACHE, or a folder in the user's cache directory."""
    chosen = environment.variable("CELLAR_AUDIT_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("cellar") / "audit"


def _gpus(text: str) -> tuple[ComputeCapability, ...]:
    return tuple(ComputeCapability.parse(part) for part in text.split(",") if part)


def declared_gpus(targets: Sequence[str]) -> tuple[ComputeCapability, ...]:
    """Return the GPUs that the passport of an image declares; none for any other target."""
    path = Path(targets[0])
    try:
        if path.exists():
            with open_image(path) as image:
                labels = image.head().labels
        else:
            labels = Docker().labels(targets[0])
        sealed = passport_files.read_label(labels.get(LABEL, ""), targets[0])
    except CellarError:
        return ()
    return sealed.gpu.ops.cubins if sealed.gpu else ()


class Docker:
    """Local images by way of the docker program."""

    def digest(self, reference: str) -> str:
        """Return the image's id; without such an image, or docker, a UsageError."""
        try:
            argv = ["docker", "image", "inspect", "--format", "{{.Id}}", "--", reference]
            return process.run(argv).strip()
        except HostError as error:
            message = f"{reference} is no file, and there is no docker to ask for an image"
            raise UsageError(message, hint="check the path, or install docker") from error
        except process.ToolError as error:
            message = f"{reference} is neither a file nor a local image"
            raise UsageError(
                message, hint=f"check the path, or `docker pull {reference}`"
            ) from error

    def labels(self, reference: str) -> dict[str, str]:
        """Return the labels of a local image."""
        argv = ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", "--"]
        found = json.loads(process.run([*argv, reference]))
        return dict(found or {})

    def save(self, reference: str, path: Path) -> None:
        """Write the image as an archive."""
        process.run(["docker", "image", "save", "--output", str(path), "--", reference])
