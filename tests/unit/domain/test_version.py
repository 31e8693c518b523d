"""Versions: their order, how they are read, and how they are written."""

import pytest

from builder.domain.version import CudaVersion, DriverVersion, PythonVersion
from builder.errors import UsageError


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        pytest.param(CudaVersion.parse("9.2"), CudaVersion.parse("10.2"), id="cuda-two-digits"),
        pytest.param(CudaVersion.parse("11.8"), CudaVersion.parse("12.0"), id="cuda-major"),
        pytest.param(PythonVersion.parse("3.8"), PythonVersion.parse("3.11"), id="python"),
        pytest.param(
            DriverVersion.parse("470.57.02"), DriverVersion.parse("470.82.01"), id="driver-patch"
        ),
        pytest.param(DriverVersion.parse("580"), DriverVersion.parse("580.65.06"), id="branch"),
        pytest.param(DriverVersion.parse("99.1"), DriverVersion.parse("450.80.02"), id="driver"),
    ],
)
def test_versions_are_ordered_by_number(lower: object, higher: object) -> None:
    assert sorted([higher, lower]) == [lower, higher]  # type: ignore[type-var]


def test_a_driver_is_written_as_it_was_read_and_compared_by_number() -> None:
    assert str(DriverVersion.parse("470.57.02")) == "470.57.02"
    assert DriverVersion.parse("470.57.02") == DriverVersion.parse("470.57.2")


def test_other_versions_are_written_as_read() -> None:
    assert (str(CudaVersion.parse("11.1")), str(PythonVersion.parse("3.11"))) == ("11.1", "3.11")
    assert PythonVersion.parse("3.8").tag == "cp38"


@pytest.mark.parametrize(
    ("parse", "text", "message", "hint"),
    [
        pytest.param(
            CudaVersion.parse,
            "11",
            "'11' is not a CUDA version",
            "write it as major.minor, for example 11.1",
            id="cuda",
        ),
        pytest.param(
            CudaVersion.parse,
            "11.1\n",
            "'11.1\\n' is not a CUDA version",
            "write it as major.minor, for example 11.1",
            id="newline",
        ),
        pytest.param(
            PythonVersion.parse,
            "3.x",
            "'3.x' is not a Python version",
            "write it as major.minor, for example 3.11",
            id="python",
        ),
        pytest.param(
            DriverVersion.parse,
            "v550",
            "'v550' is not a driver version",
            "write it as nvidia-smi does, for example 550.54.14",
            id="driver",
        ),
        pytest.param(
            DriverVersion.parse,
            "١٢",
            "'١٢' is not a driver version",
            "write it as nvidia-smi does, for example 550.54.14",
            id="other-digits",
        ),
    ],
)
def test_other_texts_are_refused(parse: object, text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)  # type: ignore[operator]
    assert (str(caught.value), caught.value.hint) == (message, hint)
