"""`cellar passport`: what an image needs of its host, and what was proven of it."""

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.adapters.audit.image_files import ImageHead, open_image
from builder.adapters.data import evidence_files, passport_files
from builder.adapters.engines.oci_artifact import write_artifact
from builder.cli import audit as audit_verb
from builder.cli import wiring
from builder.commands import passport_text
from builder.domain.passport import Passport, audited, document, libraries
from builder.domain.sealed import LABEL, Sealed


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("image", metavar="IMAGE", help="an image's name, OCI layout or archive")
    parser.add_argument("--json", action="store_true", help="print it under passport.schema.json")
    parser.add_argument(
        "--record",
        action="store_true",
        help="keep it in the image's evidence, for the digest that the repository publishes",
    )
    parser.add_argument(
        "--oci-layout", type=Path, metavar="DIR", help="write it as an artefact about the image"
    )


def execute(args: argparse.Namespace) -> int:
    """Print the passport; nothing in it was not measured or declared."""
    exact = args.record or args.oci_layout is not None
    subject = read_subject(args.image, exact=exact)
    found = passport_of(args.image, subject)
    if args.json:
        print(json.dumps(document(found), indent=1))  # noqa: T201 - stdout is this verb's data
    else:
        print(*passport_text.lines(found), sep="\n")  # noqa: T201
    if args.record:
        path = _folder(found.sealed.image) / f"{found.sealed.variant}.passport.json"
        evidence_files.write(document(found), path)
        wiring.progress().say(f"wrote {path.relative_to(wiring.root())}")
    if args.oci_layout:
        _write_artifact(found, subject, args.oci_layout)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An image as it was found: its digest, what it carries, and its sizes where they are known."""

    digest: str
    sealed: Sealed
    size: int = 0
    manifest_size: int = 0


def read_subject(image: str, *, exact: bool = False) -> Subject:
    """Read what an image carries; `exact` takes the time to learn its sizes too."""
    if not Path(image).exists() and not exact:
        engine = audit_verb.Docker()
        digest = engine.digest(image)
        label = engine.labels(image).get(LABEL, "")
        return Subject(digest=digest, sealed=passport_files.read_label(label, image))
    with _opened(image) as head:
        return Subject(
            digest=head.digest,
            sealed=passport_files.read_label(head.labels.get(LABEL, ""), image),
            size=head.size,
            manifest_size=head.manifest_size,
        )


@contextmanager
def _opened(image: str) -> Iterator[ImageHead]:
    with tempfile.TemporaryDirectory(prefix="cellar-passport-") as scratch:
        path = Path(image)
        if not path.exists():
            audit_verb.Docker().digest(image)  # which names an image that is not there
            path = Path(scratch) / "image.tar"
            audit_verb.Docker().save(image, path)
        with open_image(path) as opened:
            yield opened.head()


def passport_of(image: str, subject: Subject) -> Passport:
    """Gather all that is known of an image: its audit, and every record about its digest."""
    found = audit_verb.audited(image, subject.sealed.isa)
    gpus = subject.sealed.gpu.ops.cubins if subject.sealed.gpu else ()
    name = subject.sealed.image
    folders = [_folder(name), wiring.root() / ".cellar" / "evidence" / name]
    known = passport_files.records(folders, subject.digest)
    return Passport(
        digest=subject.digest,
        sealed=subject.sealed,
        size=subject.size or passport_files.size_of(known),
        audited=audited(found, subject.sealed.isa),
        runs=passport_files.runs(known),
        libraries=libraries(found, gpus),
        verified=passport_files.verifications(known),
    )


def _folder(image: str) -> Path:
    return wiring.root() / "images" / image / "evidence"


def _write_artifact(found: Passport, subject: Subject, into: Path) -> None:
    content = (json.dumps(document(found), indent=1, sort_keys=True) + "\n").encode()
    annotations = {
        "org.opencontainers.image.title": "passport.json",
        "cellar.cell": found.sealed.cell,
        "cellar.isa": str(found.proven or ""),
    }
    made = write_artifact(content, (subject.digest, subject.manifest_size), into, annotations)
    wiring.progress().say(f"wrote {into}: {made}, about {subject.digest}")
