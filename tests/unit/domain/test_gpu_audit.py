"""Device code held against GPUs: same major natively, PTX for later ones, own code told apart."""

import pytest

from builder.domain.gpu import ComputeCapability
from builder.domain.gpu_audit import (
    Code,
    CodeKind,
    Container,
    Listing,
    Service,
    judge_gpus,
    ptx_driver,
)


def cubin(text: str, size: int = 10) -> Code:
    return Code(kind=CodeKind.CUBIN, arch=ComputeCapability.parse(text), size=size)


def ptx(text: str, isa: tuple[int, int], size: int = 10) -> Code:
    arch = ComputeCapability.parse(text)
    return Code(kind=CodeKind.PTX, arch=arch, size=size, ptx_isa=isa)


OWN = Container(codes=(cubin("7.0"), cubin("8.0"), ptx("8.0", (7, 1))), count=5)
ADDED = Container(codes=(cubin("6.1", 7), cubin("7.5", 7)), count=2)
LISTING = Listing(containers=(OWN, ADDED))

CASES = [
    ("7.0", Service.NATIVE, (5, 0, 2), ""),
    ("7.5", Service.NATIVE, (7, 0, 0), ""),
    ("8.6", Service.NATIVE, (5, 0, 2), ""),
    ("9.0", Service.JIT, (0, 5, 2), "455.23"),
    ("12.0", Service.JIT, (0, 5, 2), "455.23"),
    ("6.1", Service.MISSING, (2, 0, 5), ""),
    ("5.0", Service.MISSING, (0, 0, 7), ""),
]


@pytest.mark.parametrize(
    ("device", "service", "counts", "driver"), CASES, ids=[c[0] for c in CASES]
)
def test_service(device: str, service: Service, counts: tuple[int, int, int], driver: str) -> None:
    (judged,) = judge_gpus(LISTING, [ComputeCapability.parse(device)]).judgements
    assert judged.service is service
    assert (judged.native, judged.jit, judged.missing) == counts
    assert judged.driver == driver


def test_own_architectures_are_those_of_the_commonest_set() -> None:
    assert LISTING.own == ("sm_70", "sm_80", "compute_80")
    assert LISTING.sizes == {
        "sm_61": 7, "sm_70": 10, "sm_75": 7, "compute_80": 10, "sm_80": 10,
    }  # fmt: skip


def test_superfluous_is_what_no_declared_gpu_would_load() -> None:
    found = judge_gpus(LISTING, [ComputeCapability(7, 5), ComputeCapability(8, 6)])
    assert found.superfluous == (("sm_61", 7), ("compute_80", 10))


def test_a_file_without_device_code_serves_nothing() -> None:
    (judged,) = judge_gpus(Listing(), [ComputeCapability(8, 6)]).judgements
    assert (Listing().own, judged.service) == ((), Service.MISSING)


@pytest.mark.parametrize(
    ("isa", "driver"),
    [((6, 5), "440.33"), ((8, 6), "570.26"), ((9, 0), "580"), ((10, 0), "unknown")],
)
def test_ptx_needs_the_driver_of_its_toolkit(isa: tuple[int, int], driver: str) -> None:
    assert ptx_driver(isa) == driver
