"""Files of local indexes and link directories, by version and date; no network."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from unearth import Link

from builder.adapters.network.channel_settings import ChannelSettings, PipSettings
from builder.adapters.network.index_files import IndexFiles
from builder.domain.wheel_tags import Candidate
from builder.errors import NetworkError
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
    return index_of(f"file://{tmp_path}/simple", str(wheels))


def index_of(url: str, *find_links: str, not_after: datetime | None = None) -> IndexFiles:
    settings = ChannelSettings(pip=PipSettings(indexes=(url,), find_links=find_links))
    return IndexFiles(settings, not_after=not_after)


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
    fenced = index_of("https://index.example/simple", not_after=datetime(2026, 11, 22, tzinfo=UTC))
    url = f"https://index.example/{WHEEL}"
    link = Link(url, upload_time=uploaded)
    monkeypatch.setattr(fenced._index, "links", lambda _name: ((link,), ()))
    expected = Candidate(filename=WHEEL, sha256="", url=url, uploaded=uploaded)
    assert fenced.candidates("tqdm", "4.70.1") == ((expected,) if counts else ())


def test_one_index_that_does_not_answer_is_named_without_its_url() -> None:
    silent = index_of("http://alice:pw@127.0.0.1:9/simple")
    with pytest.raises(NetworkError, match="a package index could not be asked for tqdm") as caught:
        silent.candidates("tqdm", "4.70.1")
    assert "127.0.0.1" not in str(caught.value)
    assert "alice" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["index.html", "tqdm.whl", "tqdm-4.70.1.exe", "tqdm", "tqdm-x-py3-none-any.whl"]
)
def test_what_is_no_distribution_is_no_candidate(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    page = tmp_path / "simple"
    page.mkdir()
    assert index_of(f"file://{page}", str(tmp_path)).candidates("tqdm", "4.70.1") == ()
