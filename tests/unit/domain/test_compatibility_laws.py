"""Laws that hold for any host: newer never takes away, and a selection runs where it says so."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.adapters.data.datafiles import load_matrix
from builder.domain.compatibility import judge, working
from builder.domain.gpu import CodeMode
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.resolve import Request, Selection, select
from builder.domain.verdict import Verdict
from builder.domain.version import DriverVersion
from builder.errors import CellarError, HostError, UsageError

MATRIX = load_matrix(Path(__file__).parents[3] / "images" / "bevformer" / "matrix.yaml")
CAPABILITIES = [row.capability for row in MATRIX.tables.gpu_architectures]

drivers = st.builds(
    lambda branch, patch: DriverVersion((branch, patch), f"{branch}.{patch}"),
    st.integers(400, 650),
    st.integers(0, 200),
)
gpus = st.builds(
    lambda capability: Gpu(name="GPU", capability=capability),
    st.sampled_from([None, *CAPABILITIES]),
)
hosts = st.builds(
    lambda isa, found, driver, wsl, idle: Host(
        isa=isa, gpus=tuple(found), driver=driver, wsl=wsl, idle_gpu=idle and not found
    ),
    st.sampled_from(IsaLevel),
    st.lists(gpus, max_size=3),
    st.none() | drivers,
    st.booleans(),
    st.booleans(),
)
requests = st.builds(
    lambda cell, cuda, isa, asked: Request(cell=cell, cuda=cuda, isa=isa, gpus=tuple(asked)),
    st.none() | st.sampled_from([cell.id for cell in MATRIX.cells]),
    st.none() | st.sampled_from([row.cuda for row in MATRIX.tables.driver_releases]),
    st.none() | st.sampled_from(IsaLevel),
    st.lists(st.sampled_from(CAPABILITIES), max_size=2),
)


def ids(host: Host) -> set[str]:
    return {cell.id for cell in working(host, MATRIX)}


@given(hosts, drivers)
def test_a_newer_driver_never_takes_a_cell_away(host: Host, driver: DriverVersion) -> None:
    if host.driver is not None and driver >= host.driver:
        assert ids(host) <= ids(replace(host, driver=driver))


@given(hosts)
def test_a_further_gpu_never_brings_a_cell(host: Host) -> None:
    for gpu in host.gpus:
        assert ids(host) <= ids(replace(host, gpus=(gpu,)))


@given(hosts, st.sampled_from(IsaLevel), st.sampled_from(IsaLevel))
def test_a_lower_level_never_takes_a_cell_away(host: Host, one: IsaLevel, other: IsaLevel) -> None:
    low, high = sorted((one, other))
    for cell in MATRIX.cells:
        if judge(cell, host, MATRIX, isa=high).verdict is Verdict.OK:
            assert judge(cell, host, MATRIX, isa=low).verdict is Verdict.OK


@given(hosts)
def test_a_verdict_and_its_reasons_agree(host: Host) -> None:
    for cell in MATRIX.cells:
        found = judge(cell, host, MATRIX)
        assert (found.verdict is Verdict.OK) == (found.reasons == ()) == (found.sentence == "")
        if found.verdict is Verdict.OK and cell.cuda:
            assert found.mode is not CodeMode.NONE


def attempt(asked: Request, host: Host) -> Selection | CellarError:
    try:
        return select(MATRIX, asked, host)
    except (UsageError, HostError) as error:
        return error


@settings(max_examples=300)
@given(requests, hosts)
def test_a_selection_serves_its_request_or_there_is_one_sentence(
    asked: Request, host: Host
) -> None:
    found = attempt(asked, host)
    if isinstance(found, CellarError):
        assert "\n" not in str(found)
        assert found.hint
        return
    assert asked.cell in (None, found.cell.id)
    assert asked.cuda in (None, found.cell.cuda)
    assert found.isa is (asked.isa or found.cell.isa)
    assert set(found.gpu_archs) <= set(found.cell.gpu_archs)
    for device in asked.gpus:
        assert replace(found.cell, gpu_archs=found.gpu_archs).ops_code.mode(device)
    if asked == Request() and len(set(host.gpus)) <= 1:
        assert judge(found.cell, host, MATRIX).verdict is Verdict.OK
        assert bool(found.cell.cuda) == bool(host.gpus)
