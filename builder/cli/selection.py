"""The options that choose a cell, the same for every verb."""

import argparse
import re
from pathlib import Path

from builder.adapters import environment
from builder.adapters.data import datafiles
from builder.adapters.host import host_facts
from builder.cli import wiring
from builder.domain.fault import did_you_mean
from builder.domain.gpu import ComputeCapability
from builder.domain.isa import parse_level
from builder.domain.matrix import Matrix
from builder.domain.resolve import Request, Selection
from builder.domain.resolve import select as resolve
from builder.domain.version import CudaVersion
from builder.errors import UsageError


def add_cell_options(parser: argparse.ArgumentParser) -> None:
    """Add --image, --cell, --cuda, --gpu and --isa."""
    add_image_option(parser)
    group = parser.add_argument_group("which cell (none of them: the best for this host)")
    group.add_argument("--cell", metavar="ID", help="a cell by name, such as cu124")
    group.add_argument("--cuda", metavar="X.Y", help="the cell with this CUDA version")
    group.add_argument(
        "--gpu",
        action="append",
        metavar="X.Y[,X.Y]",
        help="compile for these compute capabilities only, such as 8.6 or 8.6,9.0 (repeatable)",
    )
    group.add_argument("--isa", metavar="LEVEL", help="x86-64, x86-64-v2, x86-64-v3 or x86-64-v4")


def add_image_option(parser: argparse.ArgumentParser) -> None:
    """Add --image."""
    parser.add_argument("--image", default="bevformer", help="the image (default: bevformer)")


def select(args: argparse.Namespace) -> Selection:
    """Return the cell that the options and this host call for, as domain.resolve.select does."""
    host = host_facts.read_host(environment.variables())
    return resolve(matrix(args), request(args), host)


def request(args: argparse.Namespace) -> Request:
    """Read the options; what cannot be read is a UsageError that names the option."""
    named = ",".join(filter(None, args.gpu or ()))
    gpus = re.split(r"[,;\s]+", named) if named else ()
    return Request(
        cell=args.cell or None,
        cuda=CudaVersion.parse(args.cuda) if args.cuda else None,
        isa=parse_level(args.isa) if args.isa else None,
        gpus=tuple(sorted({ComputeCapability.parse(gpu) for gpu in gpus})),
    )


def matrix(args: argparse.Namespace) -> Matrix:
    """Read the matrix of --image."""
    return datafiles.load_matrix(image_folder(args.image) / "matrix.yaml")


def image_folder(name: str) -> Path:
    """Return the folder of an image; an unknown one is a UsageError that lists those there are."""
    folder = wiring.root() / "images"
    known = sorted(path.parent.name for path in folder.glob("*/matrix.yaml"))
    if name not in known:
        message = f"no image is called {name!r}{did_you_mean(name, known)}"
        raise UsageError(message, hint="the images are " + ", ".join(known))
    return folder / name
