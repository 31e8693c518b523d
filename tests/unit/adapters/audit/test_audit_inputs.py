"""Folders, wheels and images as ELF files: what is found, what is hidden, what is refused."""

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import zstandard

from builder.adapters.audit.audit_inputs import read_folder, read_wheel
from builder.adapters.audit.image_files import open_image
from builder.domain.audit.ownership import PackageRecord
from builder.errors import IntegrityError, UsageError

ASSETS = Path(__file__).parents[3] / "assets" / "isa"
ELF = (ASSETS / "clean.elf").read_bytes()
OTHER = (ASSETS / "direct.elf").read_bytes()


def layer(files: Mapping[str, bytes | None], links: Mapping[str, str] | None = None) -> bytes:
    """Return a tar; None makes a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def oci_layout(
    folder: Path,
    layers: list[bytes],
    env: list[str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Path:
    """Write an OCI layout with an attestation beside the image."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def add(data: bytes) -> dict[str, object]:
        (blobs / sha(data)).write_bytes(data)
        return {"digest": f"sha256:{sha(data)}", "size": len(data)}

    config = add(json.dumps({"config": {"Env": env, "Labels": labels}}).encode())
    manifest = add(
        json.dumps({"config": config, "layers": [add(data) for data in layers]}).encode()
    )
    nothing = add(b"{}") | {"platform": {"architecture": "unknown", "os": "unknown"}}
    amd64 = manifest | {"platform": {"architecture": "amd64", "os": "linux"}}
    (folder / "index.json").write_text(json.dumps({"manifests": [nothing, amd64]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def docker_archive(path: Path, layers: list[bytes]) -> Path:
    """Write what an old `docker save` writes."""
    config = b'{"config": {"Env": ["A=1", "EMPTY="]}}'
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "c.json", "Layers": names}]
    files = {"manifest.json": json.dumps(manifest).encode(), "c.json": config}
    path.write_bytes(layer(files | dict(zip(names, layers, strict=True))))
    return path


def visible(path: Path, into: Path) -> dict[str, bytes]:
    """Return name and bytes of each ELF file that a container would see."""
    into.mkdir()
    with open_image(path) as image:
        found = image.unpack(image.head(), into)
    return {item.name: item.path.read_bytes() for item in found.items}


def test_a_folder_is_searched_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.so").write_bytes(ELF)
    (tmp_path / "lib" / "again.so").hardlink_to(tmp_path / "lib" / "a.so")
    (tmp_path / "link.so").symlink_to("lib/a.so")
    (tmp_path / "text.so").write_text("no ELF")
    (tmp_path / "short.so").write_bytes(ELF[:20])
    assert [item.name for item in read_folder(tmp_path).items] == ["lib/a.so"]


def test_a_root_file_system_is_searched_without_its_pseudo_folders(tmp_path: Path) -> None:
    for name in ("proc", "sys", "etc", "usr"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.so").write_bytes(ELF)
    assert [item.name for item in read_folder(tmp_path).items] == ["etc/x.so", "usr/x.so"]


def test_package_lists_of_nvidia_are_read(tmp_path: Path) -> None:
    info = tmp_path / "sp" / "nvidia_x-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text("nvidia/x/lib.so,sha256=abc,12\n")
    other = tmp_path / "sp" / "torch-1.0.dist-info"
    other.mkdir()
    (other / "RECORD").write_text("torch/lib.so,sha256=abc,12\n")
    dpkg = tmp_path / "var" / "lib" / "dpkg" / "info"
    dpkg.mkdir(parents=True)
    (dpkg / "libcudnn8:amd64.list").write_text("/.\n/usr/lib/libcudnn.so.8\n")
    (dpkg / "libc6:amd64.list").write_text("/usr/lib/libc.so.6\n")
    assert set(read_folder(tmp_path).records) == {
        PackageRecord(package="nvidia_x", files=frozenset({"sp/nvidia/x/lib.so"})),
        PackageRecord(package="libcudnn8", files=frozenset({".", "usr/lib/libcudnn.so.8"})),
    }


def test_a_wheel_is_unpacked(tmp_path: Path) -> None:
    wheel = tmp_path / "x-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/__init__.py", "")
        archive.writestr("x/a.so", ELF)
        archive.writestr("nvidia_x-1.0.dist-info/RECORD", "x/a.so,,\n")
    found = read_wheel(wheel, tmp_path)
    assert [(item.name, item.path.read_bytes()) for item in found.items] == [("x/a.so", ELF)]
    assert found.records == (PackageRecord(package="nvidia_x", files=frozenset({"x/a.so"})),)


@pytest.mark.parametrize("cut", [40, 200, 700])
def test_a_damaged_wheel_is_one_line(tmp_path: Path, cut: int) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/a.so", ELF)
    data = bytearray(wheel.read_bytes())
    data[cut : cut + 30] = b"\xff" * 30
    wheel.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_wheel(wheel, tmp_path)
    assert str(caught.value).startswith(f"{wheel} is no readable wheel: ")
    assert "\n" not in str(caught.value)


LAYERS: dict[str, tuple[list[bytes], dict[str, bytes]]] = {
    "upper-file-wins": (
        [layer({"a.so": ELF, "b.so": ELF}), layer({"a.so": OTHER})],
        {"a.so": OTHER, "b.so": ELF},
    ),
    "whiteout": (
        [layer({"lib/a.so": ELF, "lib/b.so": ELF}), layer({"lib/.wh.a.so": b""})],
        {"lib/b.so": ELF},
    ),
    "whiteout-of-a-folder": (
        [layer({"lib/a.so": ELF, "b.so": ELF}), layer({".wh.lib": b""})],
        {"b.so": ELF},
    ),
    "opaque-folder": (
        [
            layer({"lib/a.so": ELF, "lib/deep/c.so": ELF, "other.so": ELF}),
            layer({"lib": None, "lib/.wh..wh..opq": b"", "lib/new.so": OTHER}),
        ],
        {"lib/new.so": OTHER, "other.so": ELF},
    ),
    "whiteout-and-file-in-one-layer": (
        [layer({"lib/a.so": ELF}), layer({"lib/.wh.a.so": b"", "lib/a.so": OTHER})],
        {"lib/a.so": OTHER},
    ),
    "link-hides-a-folder": (
        [layer({"lib/a.so": ELF}), layer({}, {"lib": "usr/lib"})],
        {},
    ),
    "folder-keeps-what-is-below": (
        [layer({"lib/a.so": ELF}), layer({"lib": None})],
        {"lib/a.so": ELF},
    ),
    "names-begin-with-a-dot": ([layer({"./lib/a.so": ELF})], {"lib/a.so": ELF}),
    "names-that-lead-out-are-left": ([layer({"../a.so": ELF, "b.so": ELF})], {"b.so": ELF}),
    "zstd": ([zstandard.compress(layer({"a.so": ELF}))], {"a.so": ELF}),
    "gzip": ([gzip.compress(layer({"a.so": ELF}))], {"a.so": ELF}),
}


@pytest.mark.parametrize(("layers", "expected"), LAYERS.values(), ids=LAYERS.keys())
def test_layers_are_laid_over(
    tmp_path: Path, layers: list[bytes], expected: dict[str, bytes]
) -> None:
    layout = oci_layout(tmp_path / "layout", layers)
    archive = docker_archive(tmp_path / "image.tar", layers)
    assert visible(layout, tmp_path / "one") == expected
    assert visible(archive, tmp_path / "two") == expected


def test_environment_and_digest_come_from_the_image(tmp_path: Path) -> None:
    with open_image(oci_layout(tmp_path / "layout", [layer({})], ["X=1=2"])) as image:
        head = image.head()
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    assert (head.environment, head.digest) == ({"X": "1=2"}, index["manifests"][1]["digest"])
    with open_image(docker_archive(tmp_path / "image.tar", [])) as image:
        assert image.head().environment == {"A": "1", "EMPTY": ""}


def test_changed_layers_are_refused(tmp_path: Path) -> None:
    layout = oci_layout(tmp_path / "layout", [layer({"a.so": ELF})])
    (blob,) = (p for p in (layout / "blobs" / "sha256").iterdir() if p.stat().st_size > 5000)
    data = bytearray(blob.read_bytes())
    data[600] ^= 1
    blob.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        visible(layout, tmp_path / "out")
    assert "holds other bytes" in str(caught.value)


def _no_manifest(folder: Path) -> None:
    index = json.loads((folder / "index.json").read_text())
    (folder / "blobs" / "sha256" / index["manifests"][1]["digest"][7:]).unlink()


def _arm_only(folder: Path) -> None:
    (folder / "index.json").write_text('{"manifests": [{"platform": {"architecture": "arm64"}}]}')


def _leads_out(folder: Path) -> None:
    (folder / "index.json").write_text('{"manifests": [{"digest": "sha256:../../x"}]}')


def _no_layer(folder: Path) -> None:
    for blob in (folder / "blobs" / "sha256").iterdir():
        if blob.stat().st_size > 5000:
            blob.write_bytes(b"\x28\xb5\x2f\xfd no tar at all" + bytes(9000))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (_no_manifest, "is no readable image"),
        (_arm_only, "no amd64 image among"),
        (_leads_out, "is no digest"),
        (_no_layer, "cannot be read"),
    ],
    ids=["no-manifest", "arm-only", "leads-out", "no-layer"],
)
def test_a_damaged_image_is_one_line(tmp_path: Path, damage, text: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    layout = oci_layout(tmp_path / "layout", [layer({"a.so": ELF})])
    damage(layout)
    with pytest.raises(UsageError) as caught:
        visible(layout, tmp_path / "out")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
