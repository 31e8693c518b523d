"""Nothing private stands in a lock: canaries of every kind are found, public facts are not."""

from dataclasses import replace

import pytest

from builder.domain.leaks import leaks
from builder.domain.lock_files import dump
from tests.unit.lock_examples import LOCK

PRIVATE = ("mirror.corp.example", "s3cr3t-t0ken", "alice", "/srv/wheels", "ci")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("https://alice:pw@mirror.corp.example/simple", "a URL with credentials"),
        ("https://token@github.com/x/y", "a URL with credentials"),
        ("https://index.other.example/simple", "a URL of a host that is not public"),
        ("http://github.com/x", "a URL of a host that is not public"),
        ("https://github.com/x?X-Amz-Signature=1", "a URL with a query"),
        ("git+ssh://git@host.example/x", "a URL with credentials"),
        ("file:///srv/other/x.whl", "a URL of a host that is not public"),
        ("http://proxy.corp.example:3128", "a URL of a host that is not public"),
        ("https://[::1/x", "a malformed URL"),
        ("--find-links /data/wheels", "a path of a machine"),
        ("# via -r /home/bob/torch.in", "a path of a machine"),
        ('"location": "/var/pool/x.deb"', "a path of a machine"),
        ("~/wheels/x.whl", "a path of a machine"),
        ("../wheels/x.whl", "a path of a machine"),
        (r"C:\wheels", "a path of a machine"),
        ("# via mirror.corp.example", "a host, name, password or path of this machine's"),
        ("password is s3cr3t-t0ken", "a host, name, password or path of this machine's"),
        ("machine x login alice", "a host, name, password or path of this machine's"),
    ],
)
def test_a_canary_is_found_and_not_repeated(line: str, fault: str) -> None:
    (found, *_) = leaks({"pip.json": f"ok\n{line}\n"}, PRIVATE)
    assert found.startswith(f"pip.json:2: {fault}")
    assert not any(word in found for word in PRIVATE)


@pytest.mark.parametrize(
    "line",
    [
        '"location": "pool/main/g/gcc-12/gcc-12_12.2.0-14_amd64.deb"',
        '"location": "https://download.pytorch.org/whl/cpu/torch-2.13.0%2Bcpu-cp311.whl"',
        '"location": "https://github.com/x/y/archive/abc.tar.gz"',
        '"location": "docker.io/nvidia/cuda:11.1.1-cudnn8-devel-ubuntu20.04"',
        "    # via requirements/torch.in, torch",
        '"version": "1:2.36-9+deb12u10"',
        "the special ci of science",
    ],
)
def test_public_facts_pass(line: str) -> None:
    assert leaks({"x": line}, PRIVATE) == ()


def test_a_whole_lock_passes_and_a_planted_word_does_not() -> None:
    assert leaks(dump(LOCK), PRIVATE) == ()
    planted = replace(LOCK, sources=(replace(LOCK.sources[0], location="https://u:p@h.example/"),))
    assert [line.split(":", 1)[0] for line in leaks(dump(planted), PRIVATE)] == ["sources.json"]
