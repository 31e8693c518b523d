"""Files of local indexes and link directories, by version and date; no network."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from unearth import Link, Package

from builder.adapters.host_pip import HostPip
from builder.adapters.index_files import IndexFiles
from builder.domain.wheel_tags import Candidate
from tests.unit.lock_examples import digest

WHEEL = "tqdm-4.70.1-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path) -> IndexFiles:
    """Return an index of one page that states a hash, and a directory of wheels that does not."""
    page = tmp_path / "simple" / "tqdm"
    page.mkdir(parents=True)
    links = "".join(
        f'<a href="{name}#sha256={digest("a")}">{name}</a>'
        for name in (WHEEL, "tqdm-4.70.1.tar.gz", "tqdm-5-py3-none-any.whl", "other-1.tar.gz")
    )
    (page / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    (page / WHEEL).write_bytes(b"wheel")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "tqdm-4.70.1-1-py3-none-any.whl").write_bytes(b"built here")
    settings = {"index-url": f"file://{tmp_path}/simple", "find-links": str(wheels)}
    return IndexFiles(HostPip(settings=settings, variables={}, netrc=None))


def test_every_file_of_one_version(index: IndexFiles) -> None:
    found = {one.filename: one.sha256 for one in index.candidates("tqdm", "4.70.1")}
    assert found == {
        WHEEL: digest("a"),
        "tqdm-4.70.1.tar.gz": digest("a"),
        "tqdm-4.70.1-1-py3-none-any.whl": "",
    }


def test_a_stated_hash_is_taken_and_a_missing_one_computed(index: IndexFiles) -> None:
    by_name = {one.filename: one for one in index.candidates("tqdm", "4.70.1")}
    assert index.measure(by_name[WHEEL]) == (digest("a"), len(b"wheel"))
    built = by_name["tqdm-4.70.1-1-py3-none-any.whl"]
    assert index.measure(built) == (sha256(b"built here").hexdigest(), len(b"built here"))


def test_an_unknown_project_has_no_files(index: IndexFiles) -> None:
    assert index.candidates("nothing-of-that-name", "1") == ()


@pytest.mark.parametrize(
    ("uploaded", "counts"),
    [
        (datetime(2026, 11, 21, tzinfo=UTC), True),
        (datetime(2026, 11, 23, tzinfo=UTC), False),
        (None, True),
    ],
    ids=["before", "after", "undated"],
)
def test_the_time_fence(
    monkeypatch: pytest.MonkeyPatch,
    uploaded: datetime | None,
    counts: bool,  # noqa: FBT001
) -> None:
    host = HostPip(settings={"index-url": "https://index.example/simple"}, variables={}, netrc=None)
    fenced = IndexFiles(host, not_after=datetime(2026, 11, 22, tzinfo=UTC))
    url = f"https://index.example/{WHEEL}"
    package = Package("tqdm", "4.70.1", Link(url, upload_time=uploaded))
    monkeypatch.setattr(fenced._finder, "find_all_packages", lambda *_a, **_n: [package])
    expected = Candidate(filename=WHEEL, sha256="", url=url, uploaded=uploaded)
    assert fenced.candidates("tqdm", "4.70.1") == ((expected,) if counts else ())
