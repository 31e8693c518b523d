"""Archives that try to leave their folder, lie about themselves or explode: made here, by hand."""

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

DOT_DOT = (
    "../out",
    "a/../../out",
    "./../out",
    "a/b/../../../out",
    "..",
    "a/..//../out",
    ".../../../out",
)
ABSOLUTE = ("/out", "//out", "/../out", "///etc/out")
ODD = ("", ".", "/", "x" * 300, "/".join(["d"] * 80) + "/f")


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return a plain tar of members, whatever they say."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def entry(name: str, data: bytes = b"data", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """Return one member; `fields` are set on its header."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data if info.isreg() else b""


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a folder."""
    return entry(name, b"", type=tarfile.DIRTYPE, mode=0o755)


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a symbolic link."""
    return entry(name, b"", type=tarfile.SYMTYPE, linkname=target)


def hard(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a hard link."""
    return entry(name, b"", type=tarfile.LNKTYPE, linkname=target)


def _raw(header: Mapping[int, bytes], data: bytes = b"") -> bytes:
    """Return a tar of one member whose header is overwritten at some offsets, checksum mended."""
    info, _ = entry("a", b"x" * 10)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    for at, value in header.items():
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block) + data + b"\0" * 1024


def _pax(records: Sequence[tuple[str, str]], then: bytes) -> bytes:
    """Return a pax header with `records` in front of the tar `then`."""
    body = b""
    for key, value in records:
        text = f" {key}={value}\n".encode()
        length = len(text) + 1
        while len(str(length)) + len(text) != length:
            length = len(str(length)) + len(text)
        body += str(length).encode() + text
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(body)
    padded = body + b"\0" * (-len(body) % 512)
    return info.tobuf(tarfile.USTAR_FORMAT) + padded + then


def _cyclic() -> bytes:
    # Each hop looks harmless alone; together they climb above the root.
    hops = [folder("d"), folder("d/" + "e" * 200)]
    return tar_of(
        *hops,
        link("a", "d/" + "e" * 200 + "/../.."),
        link("b", "a/.."),
        link("c", "b/.."),
        entry("c/out"),
    )


def tars() -> Iterator[tuple[str, bytes]]:
    """Yield an id and the bytes of each hostile tar."""
    yield from _names()
    yield from _links()
    yield from _liars()
    yield from _bombs()


def _names() -> Iterator[tuple[str, bytes]]:
    for name in (*DOT_DOT, *ABSOLUTE, *ODD):
        shown = repr(name[:20])
        yield (
            f"file {shown}",
            tar_of(entry(name) if "\0" not in name else entry("a", linkname=name)),
        )
        if "\0" not in name and name not in ("", ".", "/"):
            yield f"folder {shown}", tar_of(folder(name))
            yield f"hard link to {shown}", tar_of(entry("a"), hard("b", name))
    yield "the same file twice", tar_of(entry("a"), entry("a", b"other"))
    yield "the same file twice, spelled twice", tar_of(entry("a/b"), entry("./a//b", b"other"))
    yield "a file, then a folder", tar_of(entry("a"), folder("a"))
    yield "a file, then a file in it", tar_of(entry("a"), entry("a/b"))


def _links() -> Iterator[tuple[str, bytes]]:
    for target in ("../out", "/etc", "..", "a/../../..", "/", "../folder/../.."):
        yield f"link to {target!r}, then a file in it", tar_of(link("l", target), entry("l/out"))
        yield f"link to {target!r}, then a folder in it", tar_of(link("l", target), folder("l/out"))
        yield f"link to {target!r} alone", tar_of(link("l", target))
    yield "link to nothing", tar_of(link("l", ""))
    yield "file over a link", tar_of(link("l", "../out"), entry("l"))
    yield "folder over a link", tar_of(link("l", "../out"), folder("l"))
    yield "link over a folder with a file", tar_of(folder("d"), link("d", "../"), entry("d/out"))
    yield "hard link to a link", tar_of(link("l", "../canary"), hard("h", "l"), entry("h"))
    yield "hard link to a canary", tar_of(hard("h", "../canary"), entry("h"))
    yield "hard link to itself", tar_of(hard("h", "h"))
    yield "hard link to a folder", tar_of(folder("d"), hard("h", "d"))
    yield "hard link to what comes later", tar_of(hard("h", "z"), entry("z"))
    yield "hard link through a link", tar_of(link("l", ".."), hard("h", "l/canary"))
    yield "write through a hard link", tar_of(entry("a"), hard("h", "a"), entry("h", b"changed"))
    yield "links that climb together", _cyclic()
    yield (
        "a link that climbs through a link",
        tar_of(folder("d"), link("d/up", ".."), link("out", "d/up/..")),
    )
    yield "links in a circle", tar_of(link("a", "b"), link("b", "a"), entry("a/out"))


def _liars() -> Iterator[tuple[str, bytes]]:
    good = tar_of(entry("a"))
    for kind, name in (
        (tarfile.CHRTYPE, "character device"),
        (tarfile.BLKTYPE, "block device"),
        (tarfile.FIFOTYPE, "pipe"),
    ):
        yield name, tar_of(entry("dev", b"", type=kind, devmajor=1, devminor=3))
    yield "negative size", _raw({124: b"\xff" * 12})
    yield "huge size", _raw({124: b"\x80" + b"\x7f" * 11})
    yield "size beyond the end", _raw({124: b"77777777777\0"}, b"x" * 512)
    yield "negative size in a pax header", _pax([("size", "-512")], good)
    yield "path in a pax header", _pax([("path", "../out")], good)
    yield "absolute path in a pax header", _pax([("path", "/out")], good)
    yield "link path in a pax header", _pax([("linkpath", "../out")], tar_of(hard("a", "b")))
    yield (
        "sparse map of a huge file",
        _pax(
            [
                ("GNU.sparse.major", "1"),
                ("GNU.sparse.minor", "0"),
                ("GNU.sparse.realsize", "1" + "0" * 18),
            ],
            good,
        ),
    )
    yield "pax header without end", _raw({156: b"x", 124: b"77777777777\0"})
    yield "long name without end", _raw({156: b"L", 124: b"77777777777\0"})
    yield "long name that leads outside", _long_name("../" * 60 + "out")
    yield "damaged checksum", good[:148] + b"0000000\0" + good[156:]
    yield "damaged second header", _second_damaged()
    yield "cut in a header", good[:300]
    yield "cut in the data", tar_of(entry("a", b"x" * 5000))[:2000]
    yield "no time", _pax([("mtime", "nan")], good)
    yield "time beyond all time", _pax([("mtime", "1e300")], good)
    yield "a name with a zero in it", _pax([("path", "a\0b")], good)
    yield "no tar", b"this is no tar at all" * 100


def _bombs() -> Iterator[tuple[str, bytes]]:
    good = tar_of(entry("a"))
    yield "gzip bomb", gzip.compress(tar_of(entry("a", bytes(24 << 20))), 9)
    yield "bzip2 bomb", bz2.compress(tar_of(entry("a", bytes(24 << 20))), 9)
    yield "xz bomb", lzma.compress(tar_of(entry("a", bytes(24 << 20))))
    yield "bomb in a pax header", gzip.compress(_pax([("comment", "x" * (9 << 20))], good), 9)
    yield "too many entries", tar_of(*(entry(f"f{n}", b"") for n in range(1001)))
    yield "cut gzip", gzip.compress(good)[:-20]
    yield "flipped gzip", _flip(gzip.compress(tar_of(entry("a", os.urandom(3000)))), 1500)
    yield "cut xz", lzma.compress(good)[:-30]


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def _second_damaged() -> bytes:
    data = tar_of(entry("a"), entry("b"))
    return _flip(data, 1024 + 150)


def _long_name(name: str) -> bytes:
    return tar_of(entry(name))


@dataclass
class ZipFields:
    """What one entry of a hand-made zip says of itself, in both places."""

    name: bytes = b"a"
    local: bytes | None = None
    data: bytes = b"data"
    method: int = 0
    flags: int = 0
    attributes: int = 0
    extra: bytes = b""
    local_crc: int | None = None
    local_size: int | None = None
    size: int | None = None
    prefix: bytes = b""
    offset_shift: int = 0


def zip_of(
    *entries: ZipFields, before_end: bytes = b"", after: bytes = b"", count: int = 0
) -> bytes:
    """Return a zip of entries, whatever they say; `count` is added to the stated number."""
    out, central = b"", b""
    for one in entries:
        out += one.prefix
        offset = len(out) + one.offset_shift
        packed = zlib.compressobj(9, wbits=-15) if one.method == 8 else None
        body = packed.compress(one.data) + packed.flush() if packed else one.data
        crc = zlib.crc32(one.data)
        size = len(one.data) if one.size is None else one.size
        own = one.name if one.local is None else one.local
        out += struct.pack(
            "<4s5H3L2H",
            b"PK\x03\x04",
            20,
            one.flags,
            one.method,
            0,
            33,
            crc if one.local_crc is None else one.local_crc,
            len(body),
            size if one.local_size is None else one.local_size,
            len(own),
            len(one.extra),
        )
        out += own + one.extra + body
        central += struct.pack(
            "<4s6H3L5H2L",
            b"PK\x01\x02",
            3 << 8 | 20,
            20,
            one.flags,
            one.method,
            0,
            33,
            crc,
            len(body),
            size,
            len(one.name),
            len(one.extra),
            0,
            0,
            0,
            one.attributes,
            offset,
        )
        central += one.name + one.extra
    total = len(entries) + count
    end = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, total, total, len(central), len(out) + len(before_end), 0
    )
    return out + before_end + central + end + after


def zips() -> Iterator[tuple[str, bytes]]:
    """Yield an id and the bytes of each hostile zip."""
    good = zip_of(ZipFields())
    for name in (
        *DOT_DOT,
        *ABSOLUTE,
        "x" * 300,
        "/".join(["d"] * 80) + "/f",
        "a\0b",
        "a\\..\\..\\out",
    ):
        yield f"file {name[:20]!r}", zip_of(ZipFields(name=name.encode()))
    yield "folder '../out/'", zip_of(ZipFields(name=b"../out/", data=b""))
    yield "no name", zip_of(ZipFields(name=b""))
    yield "link", zip_of(ZipFields(data=b"../out", attributes=0o120777 << 16))
    yield (
        "link, then a file in it",
        zip_of(
            ZipFields(name=b"l", data=b"..", attributes=0o120777 << 16), ZipFields(name=b"l/out")
        ),
    )
    yield "pipe", zip_of(ZipFields(attributes=0o010644 << 16))
    yield "device", zip_of(ZipFields(attributes=0o020644 << 16))
    yield "another name before the data", zip_of(ZipFields(local=b"b"))
    yield "another checksum before the data", zip_of(ZipFields(local_crc=1))
    yield "another size before the data", zip_of(ZipFields(local_size=1))
    yield "a wrong size in both places", zip_of(ZipFields(size=3))
    yield "the same file twice", zip_of(ZipFields(), ZipFields(data=b"other"))
    yield "the same file twice, spelled twice", zip_of(ZipFields(), ZipFields(name=b"./a"))
    yield "a file, then a file in it", zip_of(ZipFields(), ZipFields(name=b"a/b"))
    yield "bytes in front", zip_of(ZipFields(prefix=b"#!/bin/sh\n"))
    yield "bytes in front that shift all offsets", b"#!/bin/sh\n" + good
    yield "bytes between", zip_of(ZipFields(), ZipFields(name=b"b", prefix=b"hidden"))
    yield "an entry that the directory hides", zip_of(ZipFields(), before_end=good[:35])
    yield "bytes before the directory", zip_of(ZipFields(), before_end=b"hidden")
    yield "bytes after the end", zip_of(ZipFields(), after=b"hidden")
    yield "a second zip after the end", good + zip_of(ZipFields(name=b"b"))
    yield "a comment", good[:-2] + struct.pack("<H", 6) + b"hidden"
    yield "more entries than stated", zip_of(ZipFields(), ZipFields(name=b"b"), count=-1)
    yield "fewer entries than stated", zip_of(ZipFields(), count=1)
    yield (
        "overlapping entries",
        zip_of(ZipFields(name=b"b"), ZipFields(name=b"c", offset_shift=-35)),
    )
    yield "an offset beyond the end", zip_of(ZipFields(offset_shift=10_000))
    yield "encrypted", zip_of(ZipFields(flags=1))
    yield "an unusual method", zip_of(ZipFields(method=99))
    yield "streamed without a trailer", zip_of(ZipFields(flags=8))
    yield (
        "a second name in an extra field",
        zip_of(ZipFields(extra=struct.pack("<2HBL", 0x7075, 11, 1, zlib.crc32(b"a")) + b"../out")),
    )
    yield "a name that is no UTF-8", zip_of(ZipFields(name=b"\xff\xfe", flags=0x800))
    yield "a bomb", zip_of(ZipFields(data=bytes(24 << 20), method=8))
    yield (
        "a bomb that lies about its size",
        zip_of(ZipFields(data=bytes(24 << 20), method=8, size=10)),
    )
    yield "a quoted bomb", _quoted()
    yield (
        "too many entries",
        zip_of(*(ZipFields(name=f"f{n}".encode(), data=b"") for n in range(1001))),
    )
    yield "cut", good[:-10]
    yield "cut in the data", good[:20]
    yield "flipped data", good.replace(b"data", b"dbta")
    yield "no zip", b"this is no zip"
    yield "nothing", b""
    yield "a tar that is a zip", tar_of(entry("a")) + good
    yield "the end record alone", struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 0, 0, 0)


def _quoted() -> bytes:
    """Return a zip whose entries share one body: each local header quotes the next."""
    kernel = zlib.compress(bytes(9 << 20), 9)[2:-4]
    fields = [ZipFields(name=f"f{n}".encode(), data=kernel, size=9 << 20) for n in range(4)]
    return zip_of(*fields)


def debs() -> Iterator[tuple[str, bytes]]:
    """Yield an id and the bytes of each damaged .deb."""

    def member(name: str, data: bytes, size: str | None = None) -> bytes:
        stated = str(len(data)) if size is None else size
        head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{stated:<10}`\n".encode()
        return head + data + b"\n" * (len(data) % 2)

    version = member("debian-binary", b"2.0\n")
    data = member("data.tar.gz", gzip.compress(tar_of(entry("a"))))
    yield "no ar", b"this is no ar archive"
    yield "nothing", b""
    yield "no data", b"!<arch>\n" + version
    yield "no version", b"!<arch>\n" + data
    yield "two data", b"!<arch>\n" + version + data + member("data.tar", tar_of(entry("b")))
    yield "negative size", b"!<arch>\n" + version + member("data.tar.gz", b"x" * 10, "-60")
    yield "size beyond the end", b"!<arch>\n" + version + member("data.tar.gz", b"x", "999999")
    yield "no size", b"!<arch>\n" + version + member("data.tar.gz", b"x", "ten")
    yield "cut header", b"!<arch>\n" + version + data[:30]
