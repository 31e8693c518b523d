"""Contexts depend on the lock and the checkout alone: on no umask, no clock, no leftovers."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pytest

from builder.adapters.engines import bootstrap, oci
from builder.adapters.engines.build_context import BuildContexts
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.lockfile import Lock
from tests.unit.commands import fakes


@dataclass
class Shelf(fakes.FakeStore):
    """Hands out files whose content is their name, or what a test has put in."""

    folder: Path = Path()
    contents: dict[str, bytes] = field(default_factory=dict)

    def path(self, artifact: Artifact) -> Path:
        path = self.folder / artifact.sha256
        path.write_bytes(self.contents.get(artifact.sha256, artifact.name.encode()))
        return path

    def link_into(self, artifact: Artifact, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(self.path(artifact), folder / artifact.filename))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a checkout with what goes into contexts, and with what must not."""
    files = {
        "templates/steps/settle": "#!/bin/sh",
        "templates/steps/__pycache__/x.pyc": "leftover",
        "images/bevformer/rootfs/etc/profile.d/cellar.sh": "PATH=x",
        "images/bevformer/evaluator/pyproject.toml": "[build-system]",
        "images/bevformer/evaluator/setup.cfg": "[metadata]",
        "images/bevformer/evaluator/src/e/__init__.py": "",
        "images/bevformer/evaluator/src/e.egg-info/PKG-INFO": "leftover",
        "images/bevformer/evaluator/tests/test_e.py": "leftover",
    }
    for name, content in files.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "checkout" / "templates/steps/settle").chmod(0o755)
    return tmp_path / "checkout"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def contexts(checkout: Path, **contents: bytes) -> BuildContexts:
    folder = checkout.parent / "store"
    folder.mkdir(exist_ok=True)
    return BuildContexts(checkout, Shelf(folder=folder, contents=contents))


def listing(folder: Path) -> Mapping[str, tuple[str, str]]:
    return {
        str(path.relative_to(folder)): (oct(path.stat().st_mode & 0o777), path.read_text())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(autouse=True)
def no_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the bootstrap out: these debs are none, and it has tests of its own."""
    monkeypatch.setattr(bootstrap, "write_bootstrap", lambda *_, **__: None)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000], ids=oct)
def test_layout(mask: int, checkout: Path, tmp_path: Path) -> None:
    into = tmp_path / "contexts"
    with umask(mask):
        made = contexts(checkout).write(fakes.order().recipe, fakes.LOCK, into)
    assert listing(made["steps"]) == {"settle": ("0o755", "#!/bin/sh")}
    assert listing(made["rootfs"]) == {"etc/profile.d/cellar.sh": ("0o644", "PATH=x")}
    assert listing(made["evaluator"]) == {
        "evaluator/pyproject.toml": ("0o644", "[build-system]"),
        "evaluator/setup.cfg": ("0o644", "[metadata]"),
        "evaluator/src/e/__init__.py": ("0o644", ""),
    }
    assert sorted(listing(made["wheelhouse"])) == [
        f"{layer}/{name}"
        for layer in ("build", "runtime", "torch")
        for name in (f"in-{layer}-1.whl", "requirements.txt")
    ]
    assert sorted(listing(made["debs"])) == [
        "essential/essential-1.whl",
        "toolchain/toolchain-1.whl",
    ]
    assert sorted(listing(made["sources"])) == ["mmcv-full/mmcv-full-1.whl"]
    assert {oct(path.stat().st_mode & 0o777) for path in into.rglob("*/")} == {"0o755"}


def test_requirements_hold_a_hash_for_each_wheel(checkout: Path, tmp_path: Path) -> None:
    made = contexts(checkout).write(fakes.order().recipe, fakes.LOCK, tmp_path / "contexts")
    text = (made["wheelhouse"] / "torch" / "requirements.txt").read_text()
    assert text == f"in-torch==1 --hash=sha256:{fakes.sha('in-torch')}\n"


def test_what_stood_there_before_is_gone(checkout: Path, tmp_path: Path) -> None:
    stale = tmp_path / "contexts" / "steps" / "stale"
    stale.parent.mkdir(parents=True)
    stale.touch()
    contexts(checkout).write(fakes.order().recipe, fakes.LOCK, tmp_path / "contexts")
    assert not stale.exists()


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        pytest.param("images/bevformer/evaluator/src/e/__init__.py", ["evaluator"], id="source"),
        pytest.param("images/bevformer/evaluator/tests/test_e.py", [], id="test"),
        pytest.param("images/bevformer/rootfs/etc/profile.d/cellar.sh", ["rootfs"], id="rootfs"),
        pytest.param("templates/steps/settle", ["steps"], id="step"),
        pytest.param("templates/steps/__pycache__/x.pyc", [], id="leftover"),
    ],
)
def test_the_digests_follow_the_checkout(path: str, changed: list[str], checkout: Path) -> None:
    before = contexts(checkout).tree_digests("bevformer")
    with (checkout / path).open("a") as file:
        file.write("#")
    after = contexts(checkout).tree_digests("bevformer")
    assert [name for name in before if before[name] != after[name]] == changed


@pytest.mark.parametrize("behind_an_index", ["manifest", "index"])
def test_a_vendors_image_becomes_a_layout(
    behind_an_index: str, checkout: Path, tmp_path: Path
) -> None:
    def row(content: bytes) -> dict[str, object]:
        return {"digest": f"sha256:{sha256(content).hexdigest()}", "size": len(content)}

    config, layer = b"{}", b"layer"
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps(
        {"mediaType": media_type, "config": row(config), "layers": [row(layer)]}
    ).encode()
    platform = {"platform": {"os": "linux", "architecture": "amd64"}}
    index = json.dumps({"manifests": [{**row(manifest), **platform}]}).encode()
    contents = {sha256(blob).hexdigest(): blob for blob in (config, layer, manifest, index)}
    top = manifest if behind_an_index == "manifest" else index
    base = Artifact(
        kind=ArtifactKind.IMAGE,
        name="nvidia/cuda",
        version="1",
        filename="cuda",
        sha256=sha256(top).hexdigest(),
        size=len(top),
        channel="registry",
    )
    lock: Lock = replace(fakes.LOCK, base=base)
    order = fakes.order(lock)
    made = BuildContexts(checkout, Shelf(folder=tmp_path, contents=contents)).write(
        replace(order.recipe, contexts={**order.recipe.contexts, "vendor": ""}),
        lock,
        tmp_path / "c",
    )
    layout = made["vendor"]
    assert oci.layout_digest(layout) == f"sha256:{sha256(manifest).hexdigest()}"
    stored = {path.name: path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()}
    assert stored == {name: blob for name, blob in contents.items() if blob != index}
    assert (
        json.loads((layout / "index.json").read_text())["manifests"][0]["mediaType"] == media_type
    )
