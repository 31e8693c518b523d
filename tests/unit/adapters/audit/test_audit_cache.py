"""What was audited once is not decoded again, and a damaged cache costs time only."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from builder.adapters.audit.audit_cache import AuditCache, KeptTarget
from builder.adapters.audit.audit_documents import file_document, read_file_document
from builder.adapters.audit.audit_inputs import Inventory, Item
from builder.adapters.audit.audit_target import TargetAuditor
from builder.adapters.audit.auditor import Auditor
from builder.adapters.audit.elf_audit import audit_file
from builder.domain.audit.ownership import PackageRecord
from builder.errors import UsageError

ASSETS = Path(__file__).parents[3] / "assets" / "isa"
NAMES = ["leaked", "fatbin", "i386", "init-chain", "stripped"]


@pytest.mark.parametrize("name", NAMES)
def test_an_audit_survives_its_document(name: str) -> None:
    audit = audit_file(ASSETS / f"{name}.elf", name)
    assert read_file_document(file_document(audit)) == audit


@pytest.mark.parametrize("name", NAMES)
def test_an_audit_is_kept(tmp_path: Path, name: str) -> None:
    audit = audit_file(ASSETS / f"{name}.elf", name)
    AuditCache(tmp_path).keep_file(audit)
    assert AuditCache(tmp_path).file(audit.identity) == audit
    assert AuditCache(tmp_path).named_file("other", audit.identity) == replace(audit, name="other")


def test_an_unreadable_file_is_not_kept(tmp_path: Path) -> None:
    bad = tmp_path / "bad.so"
    bad.write_bytes(b"\x7fELF")
    cache = AuditCache(tmp_path / "cache")
    cache.keep_file(audit_file(bad, "bad.so"))
    assert not (tmp_path / "cache").exists()
    assert cache.file("") is None


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"no json"), gzip.compress(b"[1]"), gzip.compress(b'{"a": 1}')],
    ids=["empty", "no-gzip", "no-json", "a-list", "other-fields"],
)
def test_a_damaged_entry_is_absent(tmp_path: Path, content: bytes) -> None:
    audit = audit_file(ASSETS / "leaked.elf", "leaked")
    cache = AuditCache(tmp_path)
    cache.keep_file(audit)
    cache.keep_target("sha256:abc", KeptTarget(files=(("a", "b"),), environment={}))
    for path in tmp_path.rglob("*.gz"):
        path.write_bytes(content)
    assert (cache.file(audit.identity), cache.target("sha256:abc")) == (None, None)


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = AuditCache(tmp_path / "file")
    cache.keep_file(audit_file(ASSETS / "leaked.elf", "leaked"))
    assert cache.file("x") is None


class _NoEngine:
    """An engine without images, which counts what it is asked for."""

    def digest(self, reference: str) -> str:
        """Refuse."""
        message = f"{reference} is neither a file nor a local image"
        raise UsageError(message)

    def save(self, reference: str, path: Path) -> None:
        """Never called."""
        raise AssertionError(reference, path)


def auditor(cache: AuditCache | None, said: list[str]) -> TargetAuditor:
    return TargetAuditor(Auditor(cache, 1, said.append), cache, _NoEngine())


def test_the_second_audit_decodes_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    target = auditor(AuditCache(tmp_path), said)
    first = target.audit([str(ASSETS)])
    assert len(said) == 1
    assert said[0].startswith("decoding ")
    assert target.audit([str(ASSETS)]) == first
    assert len(said) == 1


def test_without_a_cache_everything_is_decoded(tmp_path: Path) -> None:
    said: list[str] = []
    target = auditor(None, said)
    assert target.audit([str(ASSETS)]) == target.audit([str(ASSETS)])
    assert len(said) == 2
    assert not list(tmp_path.iterdir())


def test_another_owner_is_another_audit(tmp_path: Path) -> None:
    """Bytes that were decoded as ours are not shown as decoded where they are NVIDIA's."""
    cache = AuditCache(tmp_path)
    item = Item(name="lib/x.so", path=ASSETS / "init-fail.elf")
    record = PackageRecord(package="nvidia-x", files=frozenset({"lib/x.so"}))
    worker = Auditor(cache, 1, lambda _: None)
    (ours,) = worker.audit(Inventory(target="t", items=(item,)))
    (theirs,) = worker.audit(Inventory(target="t", items=(item,), records=(record,)))
    assert (bool(ours.levels), bool(theirs.levels)) == (True, False)


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    """A file beyond the size that one process takes is spread over several."""
    items = []
    for number, path in enumerate(sorted(ASSETS.glob("*.elf"))):
        padded = tmp_path / f"{number}.so"
        size = 25 << 20 if number < 2 else 0
        with padded.open("wb") as file:
            file.write(path.read_bytes())
            file.truncate(max(size, path.stat().st_size))
        items.append(Item(name=path.stem, path=padded))
    inventory = Inventory(target="t", items=tuple(items))
    alone, together = (Auditor(None, n, lambda _: None).audit(inventory) for n in (1, 2))
    assert alone == together


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["no/such/file"], "no/such/file is neither a file nor a local image"),
        ([__file__], f"{__file__} is no ELF file, wheel or image archive"),
        ([str(ASSETS), str(ASSETS / "clean.elf")], f"{ASSETS} is no file; several targets"),
    ],
    ids=["absent", "text", "folder-and-file"],
)
def test_what_cannot_be_audited_is_one_line(words: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        auditor(None, []).audit(words)
    assert str(caught.value).startswith(text)
