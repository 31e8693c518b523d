"""Locks to texts and back; every fault of their form in one reading."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from builder.adapters.files import schema
from builder.domain.artifact import ArtifactKind
from builder.domain.lock_files import dump, read
from builder.domain.lockfile import ExpectedImage, Lock, Unlocked
from tests.unit.lock_examples import LOCK, TQDM_ANEW, digest

SCHEMA = schema("lock")
FULL = replace(
    LOCK,
    base=replace(
        LOCK.sources[0],
        kind=ArtifactKind.IMAGE,
        name="example/base",
        filename="base",
        channel="registry",
        location="docker.io/example/base",
        size=None,
        quoted=True,
    ),
    unlocked=(
        Unlocked(
            kind=ArtifactKind.SOURCE, name="x", version="1", channel="git", reason="out of reach"
        ),
    ),
    expected=(
        ExpectedImage(
            isa="x86-64",
            target="runtime",
            key=digest("3"),
            digest=f"sha256:{digest('1')}",
            diff_ids=(f"sha256:{digest('2')}",),
            engine="docker 26",
            gpu="9.0",
        ),
    ),
)


ANEW = replace(LOCK, rebuilds=(TQDM_ANEW,))


@pytest.mark.parametrize("lock", [LOCK, ANEW, FULL], ids=["debian", "rebuilds", "everything"])
def test_a_lock_reads_back_equal(lock: Lock) -> None:
    texts = dump(lock)
    reading = read(texts, SCHEMA)
    assert reading.faults == ()
    assert reading.lock == lock
    assert dump(reading.lock) == texts


def test_one_input_is_one_block_of_sorted_lines() -> None:
    assert dump(LOCK)["sources.json"] == (
        '{\n  "sources": [\n    {\n      "channel": "package-index",\n'
        '      "filename": "mmcv-full-1.7.2.tar.gz",\n      "kind": "sdist",\n'
        '      "name": "mmcv-full",\n'
        f'      "sha256": "{digest("f")}",\n      "size": 30,\n      "version": "1.7.2"\n'
        "    }\n  ]\n}\n"
    )


Document = dict[str, Any]


def broken(file: str, change: Callable[[Document], object], lock: Lock = LOCK) -> Mapping[str, str]:
    """Return the texts of a lock with one document changed."""
    texts = dict(dump(lock))
    document = json.loads(texts[file])
    change(document)
    return texts | {file: json.dumps(document)}


def deb_of(document: Document) -> Document:
    return document["groups"]["base"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("texts", "faults"),
    [
        pytest.param(
            broken("apt.json", lambda at: deb_of(at).pop("sha256")),
            ["apt.json: groups.base[0]: 'sha256' is a required property"],
            id="a-hash-is-missing",
        ),
        pytest.param(
            broken("apt.json", lambda at: deb_of(at).update(sha256="abc")),
            ["apt.json: groups.base[0].sha256: 'abc' does not match '^[0-9a-f]{64}$'"],
            id="a-hash-is-too-short",
        ),
        pytest.param(
            broken("apt.json", lambda at: deb_of(at).update(size=None)),
            ["apt.json: groups.base[0].size: None is not of type 'integer'"],
            id="no-size-although-not-quoted",
        ),
        pytest.param(
            broken("pip.json", lambda at: at["layers"][1]["artifacts"][0].update(colour="red")),
            [
                (
                    "pip.json: layers[1].artifacts[0]: unknown field: Additional properties are "
                    "not allowed ('colour' was unexpected)"
                )
            ],
            id="an-unknown-field",
        ),
        pytest.param(
            broken("rebuilds.json", lambda at: at["rebuilds"][0].pop("sdist"), ANEW),
            ["rebuilds.json: rebuilds[0]: 'sdist' is a required property"],
            id="half-a-rebuild",
        ),
        pytest.param(
            broken("lock.json", lambda at: at.update(schema=2)),
            ["lock.json: schema: 1 was expected"],
            id="an-unknown-schema",
        ),
        pytest.param(
            broken("base.json", lambda at: at.update(artifact={"kind": "image"})),
            [
                f"base.json: artifact: '{field}' is a required property"
                for field in ("channel", "filename", "name", "sha256", "size", "version")
            ],
            id="half-a-base",
        ),
        pytest.param(
            {name: text for name, text in dump(LOCK).items() if name != "pip.json"},
            ["pip.json: the file is missing"],
            id="a-file-is-missing",
        ),
        pytest.param(
            dict(dump(LOCK)) | {"apt.json": "{\n  oops"},
            [
                "apt.json:2: not JSON: Expecting property name enclosed in double quotes",
            ],
            id="no-json",
        ),
    ],
)
def test_faults_of_form(texts: Mapping[str, str], faults: list[str]) -> None:
    assert list(read(texts, SCHEMA).faults) == faults


def test_all_faults_come_at_once_and_the_rest_is_still_read() -> None:
    texts = dict(broken("apt.json", lambda at: deb_of(at).pop("sha256")))
    texts["pip.json"] = broken("pip.json", lambda at: at["layers"][0].pop("name"))["pip.json"]
    reading = read(texts, SCHEMA)
    assert list(reading.faults) == [
        "apt.json: groups.base[0]: 'sha256' is a required property",
        "pip.json: layers[0]: 'name' is a required property",
    ]
    assert reading.lock is not None
    assert reading.lock.debs["base"] == ()
    assert [layer.name for layer in reading.lock.pip] == ["runtime", "build"]


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param({}, id="nothing"),
        pytest.param(dict.fromkeys(dump(LOCK), "[]"), id="lists"),
        pytest.param(dict.fromkeys(dump(LOCK), "null"), id="nulls"),
        pytest.param(broken("apt.json", lambda at: at.update(groups=[1])), id="groups-list"),
        pytest.param(broken("apt.json", lambda at: at["groups"].update(base=3)), id="group-number"),
        pytest.param(broken("pip.json", lambda at: at.update(layers=["x"])), id="layer-text"),
        pytest.param(
            broken("pip.json", lambda at: at["layers"][0].update(artifacts={})), id="artifacts-map"
        ),
        pytest.param(broken("lock.json", lambda at: at.update(unlocked=[5])), id="unlocked-number"),
        pytest.param(broken("image.json", lambda at: at.update(expected={})), id="expected-map"),
        pytest.param(
            broken("rebuilds.json", lambda at: at.update(rebuilds={}), ANEW), id="rebuilds-map"
        ),
    ],
)
def test_nonsense_is_a_fault_and_never_an_exception(texts: Mapping[str, str]) -> None:
    assert read(texts, SCHEMA).faults
