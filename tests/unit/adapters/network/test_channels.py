import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from builder.adapters.network.channel_settings import AptSettings, ChannelSettings, PipSettings
from builder.adapters.network.channels import Channels
from builder.adapters.storage.store import Store
from builder.domain.artifact import Artifact, ArtifactKind
from builder.domain.fetch import Found, Job
from tests.bad_server import BadServer, Fault, Resource
from tests.store_examples import Silent, downloads

SHA = hashlib.sha256(b"bytes").hexdigest()
OTHER = hashlib.sha256(b"other bytes").hexdigest()
WHEEL = "some_package-1.0-py3-none-any.whl"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens


def package(channel: str = "package-index", location: str = "", sha256: str = SHA) -> Artifact:
    return Artifact(
        kind=ArtifactKind.WHEEL,
        name="Some.Package",
        version="1.0",
        filename=WHEEL,
        sha256=sha256,
        size=5,
        channel=channel,
        location=location,
    )


def deb(location: str = "pool/main/d/dash/dash_0.5.12-2_amd64.deb") -> Artifact:
    return Artifact(
        kind=ArtifactKind.DEB,
        name="dash",
        version="0.5.12-2",
        filename="dash_0.5.12-2_amd64.deb",
        sha256=SHA,
        size=5,
        channel="debian",
        location=location,
    )


def locate(artifact: Artifact, **settings: object) -> Found:
    found = Channels(ChannelSettings(**settings)).locate([artifact], Silent())  # type: ignore[arg-type]
    return found[artifact.sha256]


def urls(found: Found) -> list[str]:
    return [place.url for place in found.locations]


def folder_index(tmp_path: Path, name: str, fragment: str) -> str:
    """Make a simple index in a folder, as `file://` URL."""
    page = tmp_path / name / "some-package" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../files/{WHEEL}{fragment}">{WHEEL}</a>')
    return (tmp_path / name).as_uri()


def test_files_with_the_right_hash_come_first_and_others_never(tmp_path: Path) -> None:
    unstated = folder_index(tmp_path, "unstated", "")
    stated = folder_index(tmp_path, "stated", f"#sha256={SHA}")
    other = folder_index(tmp_path, "other", f"#sha256={OTHER}")
    found = locate(package(), pip=PipSettings(indexes=(other, unstated), extra_indexes=(stated,)))
    file = (tmp_path / "files" / WHEEL).as_uri()
    assert urls(found) == [file, file]
    assert [place.label for place in found.locations] == ["the package index"] * 2


def test_another_hash_is_named(tmp_path: Path) -> None:
    other = folder_index(tmp_path, "other", f"#sha256={OTHER}")
    found = locate(package(), pip=PipSettings(indexes=(other,)))
    told = f"the package index has it with another sha256: {OTHER}"
    assert (found.locations, found.problem, found.gone) == ((), told, True)


def test_find_links_folders_are_searched(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"bytes")
    found = locate(package(), pip=PipSettings(indexes=None, find_links=(str(tmp_path),)))
    assert urls(found) == [(tmp_path / WHEEL).as_uri()]
    assert found.locations[0].label == "pip's find-links"


def test_a_file_that_no_index_has_is_gone(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    found = locate(package(), pip=PipSettings(indexes=(empty.as_uri(),)))
    assert (found.problem, found.gone) == ("the package index does not have it", True)


def test_an_index_that_does_not_answer_is_told_without_its_name() -> None:
    found = locate(package(), pip=PipSettings(indexes=(f"{NOWHERE}/simple",)))
    assert found.problem.startswith("the package index could not be asked: ")
    assert "127.0.0.1" not in found.problem
    assert not found.gone


def test_a_file_on_the_index_host_gets_its_credentials() -> None:
    with BadServer({}) as server:
        page = f'<a href="/files/{WHEEL}#sha256={SHA}">{WHEEL}</a>'.encode()
        server.resources["/simple/some-package/"] = Resource(content=page, content_type="text/html")
        index = server.url("/simple").replace("//", "//user:secret@")
        found = locate(package(), pip=PipSettings(indexes=(index,)))
    assert urls(found) == [server.url(f"/files/{WHEEL}").replace("//", "//user:secret@")]
    assert "secret" not in repr(found)


def test_the_package_index_can_be_overridden(tmp_path: Path) -> None:
    mine = folder_index(tmp_path, "mine", f"#sha256={SHA}")
    found = locate(
        package(),
        pip=PipSettings(indexes=(f"{NOWHERE}/simple",)),
        overrides={"package-index": (mine,)},
    )
    assert len(found.locations) == 1


def test_torch_index_files_may_lie_in_the_hosts_own_folders(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"bytes")
    found = locate(
        package("torch-index", f"{NOWHERE}/whl/{WHEEL}"),
        pip=PipSettings(indexes=None, find_links=(str(tmp_path),)),
    )
    assert urls(found) == [(tmp_path / WHEEL).as_uri()]


def test_debian_mirrors_in_apts_order_without_the_silent_ones() -> None:
    with BadServer({}) as server:
        mirrors = (f"{NOWHERE}/debian", server.url("/debian"), server.url("/security/"))
        found = locate(deb(), apt=AptSettings(mirrors=mirrors))
    pool = "pool/main/d/dash/dash_0.5.12-2_amd64.deb"
    assert urls(found) == [server.url(f"/debian/{pool}"), server.url(f"/security/{pool}")]
    assert {place.label for place in found.locations} == {"the Debian mirror"}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        pytest.param(
            {}, "this host has no Debian mirror: set CELLAR_DEBIAN_MIRROR to one", id="none"
        ),
        pytest.param(
            {"overrides": {"debian": (NOWHERE,)}},
            "the Debian mirror: the connection was refused",
            id="silent",
        ),
    ],
)
def test_debian_mirrors_that_are_of_no_use(settings: dict[str, object], problem: str) -> None:
    assert locate(deb(), **settings).problem == problem


@pytest.mark.parametrize(
    ("location", "mirrors", "expected"),
    [
        pytest.param(
            "SERVER/whl/a%2Bb.whl", (), ["SERVER/whl/a%2Bb.whl"], id="the URL of the lock"
        ),
        pytest.param(
            "http://127.0.0.1:9/whl/a%2Bb.whl",
            ("SERVER/m",),
            ["SERVER/m/whl/a%2Bb.whl"],
            id="mirror",
        ),
        pytest.param("whl/a.whl", (), [], id="no URL"),
    ],
)
def test_urls(location: str, mirrors: tuple[str, ...], expected: list[str]) -> None:
    with BadServer({}) as server:
        base = server.url("")
        source = Artifact(
            kind=ArtifactKind.SOURCE,
            name="a",
            version="1",
            filename="a.tar.gz",
            sha256=SHA,
            size=None,
            channel="git",
            location=location.replace("SERVER", base),
        )
        overrides = {"git": tuple(one.replace("SERVER", base) for one in mirrors)}
        found = locate(source, overrides=overrides)
    assert urls(found) == [one.replace("SERVER", base) for one in expected]
    assert bool(found.problem) is not bool(expected)


class Registry(BaseHTTPRequestHandler):
    """Serves one manifest to whoever fetched an anonymous token first."""

    manifest = b'{"schemaVersion": 2}'
    seen: list[tuple[str, str]]

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization", "")))
        if self.path.startswith("/token"):
            self._send(200, json.dumps({"token": "anonymous"}).encode(), {})
        elif self.headers.get("Authorization") != "Bearer anonymous":
            host = self.headers["Host"]
            realm = (
                f'Bearer realm="http://{host}/token",service="registry",scope="repository:x:pull"'
            )
            self._send(401, b"", {"WWW-Authenticate": realm})
        elif "vnd.oci.image.manifest" in self.headers.get("Accept", ""):
            self._send(200, self.manifest, {})
        else:
            self._send(406, b"", {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def registry() -> Iterator[str]:
    Registry.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_registry_gives_manifests_by_digest_with_an_anonymous_token(
    registry: str, tmp_path: Path
) -> None:
    image = Artifact(
        kind=ArtifactKind.IMAGE,
        name="nvidia/cuda",
        version="11.1.1",
        filename="base",
        sha256=hashlib.sha256(Registry.manifest).hexdigest(),
        size=None,
        channel="registry",
        location="docker.io/nvidia/cuda:11.1.1-cudnn8-devel-ubuntu20.04",
    )
    found = locate(image, overrides={"registry": (registry,)})
    assert urls(found)[0] == f"{registry}/v2/nvidia/cuda/manifests/sha256:{image.sha256}"
    store = Store(tmp_path / "store")
    job = Job(artifact=image, locations=found.locations[:1])
    assert downloads(store).download([job], Silent()) == {}
    assert store.path(image).read_bytes() == Registry.manifest
    assert [path.partition("?")[0] for path, _ in Registry.seen][1] == "/token"


def test_a_file_that_left_its_mirror_is_told_from_one_that_is_out_of_reach(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with BadServer({"/busy": Resource(content=b"bytes", forever=Fault.BROKEN)}) as server:
        kinds = {}
        for path in ("/gone", "/busy"):
            found = locate(
                Artifact(
                    kind=ArtifactKind.SOURCE,
                    name="a",
                    version="1",
                    filename="a.tar.gz",
                    sha256=SHA,
                    size=5,
                    channel="git",
                    location=server.url(path),
                )
            )
            job = Job(artifact=package(), locations=found.locations)
            (error,) = downloads(store).download([job], Silent()).values()
            kinds[path] = type(error).__name__
    assert kinds == {"/gone": "GoneError", "/busy": "NetworkError"}
