"""What lies in the image: exactly what the lock says, and nothing that differs between builds."""

import json
import re

import pytest
import testinfra.host
from packaging.utils import canonicalize_name

from builder.commands.build import Order
from builder.domain.lockfile import Lock
from builder.domain.recipe import sources_of

from .conftest import Run

pytestmark = pytest.mark.level("L1")

_DISTRIBUTIONS = """
import json
from importlib.metadata import distributions
print(json.dumps([(one.metadata["Name"], one.version) for one in distributions()]))
"""
# The second word of a .pyc: bit 0 says bound to the source by hash, bit 1 that it is checked.
_PYC = """
import pathlib
for path in sorted(pathlib.Path("/").glob("[!ps]*/**/*.pyc")):
    print(int.from_bytes(path.read_bytes()[4:8], "little"), path)
"""


def test_distributions_are_the_locked_ones(order: Order, lock: Lock, run: Run) -> None:
    found = {
        canonicalize_name(name): version
        for name, version in json.loads(run("python", "-c", _DISTRIBUTIONS))
    }
    stages = {layer.name: layer.stage for layer in order.recipe.image.layers}
    expected = {
        canonicalize_name(artifact.name): artifact.version
        for layer in lock.pip
        if layer.name in stages  # not of what compiles a wheel anew
        and (stages[layer.name] == "runtime" or order.target == "devel")
        for artifact in layer.artifacts
    }
    expected |= {source.name: source.version for source in sources_of(order.recipe.cell, lock)}
    assert found.pop("bevformer-eval")
    assert found == expected


def test_debian_packages_are_the_locked_ones(
    order: Order, lock: Lock, host: testinfra.host.Host
) -> None:
    if lock.base is not None:
        pytest.skip("the base is a vendor's image, which the lock names as a whole")
    lines = host.check_output("dpkg-query --show --showformat='${Package} ${Version}\\n'")
    groups = ["essential", "base", *(["toolchain"] if order.target == "devel" else [])]
    expected = {f"{deb.name} {deb.version}" for group in groups for deb in lock.debs[group]}
    assert set(lines.splitlines()) == expected


def test_python_is_the_cells(order: Order, run: Run) -> None:
    assert run("python", "--version").startswith(f"Python {order.recipe.cell.python}.")


def test_python_files_are_compiled_and_bound_to_their_source(run: Run) -> None:
    rows = [line.split(" ", 1) for line in run("python", "-c", _PYC, user="0:0").splitlines()]
    assert len(rows) > 1000
    assert {flags for flags, _ in rows} == {"1"}, "1: bound by hash, never checked again"


@pytest.mark.parametrize(
    "pattern",
    [
        "/var/lib/apt/lists/?*",
        "/var/cache/?*",
        "/var/log/?*",
        "/root/.cache",
        "/tmp/?*",  # noqa: S108
        "/mnt/?*",
        "/build",
        "/wheels",
        "/etc/machine-id",
        "/usr/lib/*/libGL.so*",
    ],
)
def test_nothing_is_left_of(pattern: str, host: testinfra.host.Host) -> None:
    assert host.run(f"ls -d {pattern}").stdout == ""


def test_opencv_is_headless(run: Run) -> None:
    script = "import cv2; print(cv2.getBuildInformation())"
    (gui,) = re.findall(r"GUI: +(\S+)", run("python", "-c", script))
    assert gui == "NONE"


def test_everybody_may_read_what_is_installed(order: Order, host: testinfra.host.Host) -> None:
    found = host.check_output(f"find {order.recipe.image.prefix} ! -type l ! -perm -o=r")
    assert found == ""


def test_no_file_is_younger_than_the_image(order: Order, host: testinfra.host.Host) -> None:
    epoch = order.recipe.image.epoch
    places = "/etc /opt /usr /var /bin /home /root /srv"
    found = host.check_output(
        f"find {places} -xdev -newermt @{epoch} ! -path /etc/hosts "
        "! -path /etc/hostname ! -path /etc/resolv.conf ! -path /etc/mtab ! -path /etc"
    )
    assert found == ""
