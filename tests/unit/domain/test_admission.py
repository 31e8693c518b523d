"""Images held against hosts of every age, before anything runs."""

from dataclasses import replace

import pytest

from builder.adapters.data.datafiles import load_image, load_matrix
from builder.commands.render import plain
from builder.domain.admission import Answer, admit, best_instead
from builder.domain.diagnosis import Resources
from builder.domain.gpu import ComputeCapability
from builder.domain.host import Gpu, Host
from builder.domain.isa import IsaLevel
from builder.domain.sealed import Sealed, seal
from builder.domain.version import DriverVersion
from tests.unit.commands import fakes

IMAGE = load_image(fakes.ROOT / "images" / "bevformer" / "image.yaml")
MATRIX = load_matrix(fakes.ROOT / "images" / "bevformer" / "matrix.yaml")
ROOMY = Resources(cpus=8, memory=2**34, store_free=2**36, gpu_containers=True)
OLD_PENTIUM = Host(isa=IsaLevel.V1)
PLAIN = Host(isa=IsaLevel.V3)


def gpu_host(gpus: str, driver: str, *, wsl: bool = False) -> Host:
    found = (Gpu(name="GPU", capability=ComputeCapability.parse(one)) for one in gpus.split())
    parsed = DriverVersion.parse(driver) if driver else None
    return Host(isa=IsaLevel.V3, gpus=tuple(found), driver=parsed, wsl=wsl)


def image(cell: str, ptx: str = "") -> Sealed:
    sealed = seal(IMAGE, plain(MATRIX, cell), MATRIX.tables, None)
    if not ptx or sealed.gpu is None:
        return sealed
    codes = (ComputeCapability.parse(ptx),)
    gpu = sealed.gpu
    return replace(
        sealed,
        gpu=replace(gpu, torch=replace(gpu.torch, ptx=codes), ops=replace(gpu.ops, ptx=codes)),
    )


KEPLER = "torch 2.6.0 has sm_50 to sm_90 and no PTX, nothing for GPU (3.5)"


@pytest.mark.parametrize(
    ("sealed", "host", "resources", "answer", "reasons"),
    [
        pytest.param(image("cpu"), PLAIN, ROOMY, Answer.RUNS, (), id="a-laptop"),
        pytest.param(
            image("cpu"),
            OLD_PENTIUM,
            ROOMY,
            Answer.NOT,
            ("the image is built for x86-64-v2 and this CPU has x86-64",),
            id="an-old-pentium",
        ),
        pytest.param(
            image("cpu"), gpu_host("9.0", "580.65.06"), ROOMY, Answer.RUNS, (), id="idle-gpu"
        ),
        pytest.param(
            image("cu112-standin"),
            gpu_host("7.0", "580.65.06"),  # for which its torch and its ops both have code
            ROOMY,
            Answer.NOT,
            ("it only stands in for cu111, to try its build, and no GPU runs it",),
            id="stand-in",
        ),
        pytest.param(
            image("cpu"),
            PLAIN,
            replace(ROOMY, memory=10**9),
            Answer.NOT,
            ("this host has 1.0 GB of memory, and one sample takes 2.0 GB",),
            id="low-memory",
        ),
        pytest.param(
            image("cpu"),
            PLAIN,
            replace(ROOMY, store_free=5 * 10**8),
            Answer.NOT,
            ("0.5 GB of disk are free, and 1.0 GB are needed",),
            id="a-full-disk",
        ),
        pytest.param(
            image("cpu"),
            PLAIN,
            Resources(cpus=1, memory=None, store_free=None),
            Answer.RUNS,
            (),
            id="sizes-unknown",
        ),
        pytest.param(
            image("cu124"), gpu_host("9.0", "535.54.03"), ROOMY, Answer.RUNS, (), id="an-h100"
        ),
        pytest.param(
            image("cu124"),
            gpu_host("9.0", "470.57.02"),
            ROOMY,
            Answer.NOT,
            ("driver 470.57.02 is older than 525.60.13, the oldest for CUDA 12.x",),
            id="an-h100-with-an-old-driver",
        ),
        pytest.param(
            image("cu124"),
            gpu_host("9.0", ""),
            ROOMY,
            Answer.UNKNOWN,
            ("the driver's version is unknown",),
            id="a-driver-that-says-nothing",
        ),
        pytest.param(
            image("cu124"),
            gpu_host("8.6", "537.13", wsl=True),
            ROOMY,
            Answer.RUNS,
            (),
            id="wsl",
        ),
        pytest.param(
            image("cu124"),
            gpu_host("8.6", "520.06", wsl=True),
            ROOMY,
            Answer.NOT,
            ("Windows driver 520.06 is older than 527.41, the oldest for CUDA 12.x",),
            id="wsl-with-an-old-windows-driver",
        ),
        pytest.param(
            image("cu124"),
            gpu_host("3.5", "530.30.02"),
            ROOMY,
            Answer.NOT,
            (KEPLER,),
            id="kepler",
        ),
        pytest.param(
            image("cu124"), PLAIN, ROOMY, Answer.NOT, ("this host has no NVIDIA GPU",), id="no-gpu"
        ),
        pytest.param(
            image("cu124"),
            gpu_host("9.0", "550.54.14"),
            replace(ROOMY, gpu_containers=False),
            Answer.NOT,
            ("no container engine here can hand a GPU to a container",),
            id="no-container-toolkit",
        ),
        pytest.param(
            image("cu124", ptx="9.0"),
            gpu_host("12.0", "580.65.06"),
            ROOMY,
            Answer.JIT,
            (),
            id="blackwell-by-ptx",
        ),
        pytest.param(
            image("cu124", ptx="9.0"),
            gpu_host("12.0", "535.54.03"),
            ROOMY,
            Answer.NOT,
            ("driver 535.54.03 is older than 550.54.14, the oldest for PTX of CUDA 12.4",),
            id="blackwell-by-ptx-with-an-old-driver",
        ),
    ],
)
def test_an_image_is_held_against_a_host(
    sealed: Sealed, host: Host, resources: Resources, answer: Answer, reasons: tuple[str, ...]
) -> None:
    found = admit(sealed, host, resources)
    assert (found.answer, tuple(one.text for one in found.reasons)) == (answer, reasons)


def test_an_image_that_is_still_to_be_unpacked_needs_its_room() -> None:
    found = admit(image("cpu"), PLAIN, replace(ROOMY, store_free=2 * 10**9), unpacked=2 * 10**9)
    assert [one.text for one in found.reasons] == ["2.0 GB of disk are free, and 3.0 GB are needed"]


@pytest.mark.parametrize(
    ("cell", "host", "instead"),
    [
        pytest.param("cpu", PLAIN, "", id="the-best-already"),
        pytest.param("cu130", gpu_host("9.0", "535.54.03"), "cu124", id="an-older-driver"),
        pytest.param("cu124", PLAIN, "cpu", id="no-gpu"),
        pytest.param("cpu", OLD_PENTIUM, "", id="nothing-runs"),
    ],
)
def test_the_best_cell_is_named_instead(cell: str, host: Host, instead: str) -> None:
    assert best_instead(image(cell), MATRIX, host) == instead


def test_the_answer_is_one_sentence() -> None:
    found = admit(image("cu130"), gpu_host("9.0", "535.54.03"), ROOMY)
    assert replace(found, instead="cu124").sentence == (
        "will not run, because driver 535.54.03 is older than 580.65.06, the oldest for CUDA 13.x;"
        " the best cell for this host is cu124"
    )
    assert admit(image("cpu"), PLAIN, ROOMY).sentence == "runs"
