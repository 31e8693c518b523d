"""Device code: the cubin and PTX rules, with the examples of NVIDIA's compatibility guides."""

import pytest

from builder.domain.gpu import CodeMode, ComputeCapability, DeviceCode
from builder.errors import UsageError


def code(cubins: str, ptx: str = "") -> DeviceCode:
    return DeviceCode(
        tuple(ComputeCapability.parse(text) for text in cubins.split()),
        tuple(ComputeCapability.parse(text) for text in ptx.split()),
    )


@pytest.mark.parametrize(
    ("carried", "device", "mode"),
    [
        # Hopper compatibility guide, 1.2: 8.0 runs on 8.6, 8.6 not on 8.0, 8.x not on 9.0.
        pytest.param(code("8.0"), "8.6", CodeMode.NATIVE, id="later-minor"),
        pytest.param(code("8.6"), "8.0", CodeMode.NONE, id="earlier-minor"),
        pytest.param(code("8.0 8.6"), "9.0", CodeMode.NONE, id="other-major"),
        # Ampere compatibility guide: Ada (8.9) runs 8.6 code.
        pytest.param(code("8.6"), "8.9", CodeMode.NATIVE, id="ada-on-ga10x"),
        # PTX of a capability compiles for that one and for every later one.
        pytest.param(code("8.0", "8.0"), "9.0", CodeMode.JIT, id="ptx-for-later-major"),
        pytest.param(code("9.0", "9.0"), "8.0", CodeMode.NONE, id="ptx-not-for-earlier"),
        pytest.param(code("", "7.5"), "7.5", CodeMode.JIT, id="ptx-of-the-same"),
        pytest.param(code("8.0", "8.0"), "8.6", CodeMode.NATIVE, id="cubin-before-ptx"),
        pytest.param(code(""), "8.0", CodeMode.NONE, id="nothing"),
    ],
)
def test_how_code_runs_on_a_device(carried: DeviceCode, device: str, mode: CodeMode) -> None:
    assert carried.mode(ComputeCapability.parse(device)) is mode


@pytest.mark.parametrize(
    ("carried", "text"),
    [
        pytest.param(code("3.7 5.0 8.6"), "sm_37 to sm_86 and no PTX", id="span"),
        pytest.param(code("9.0"), "sm_90 and no PTX", id="one"),
        pytest.param(code("7.5 12.0", "12.0"), "sm_75 to sm_120 and PTX of 12.0", id="ptx"),
        pytest.param(code("", "7.5 8.0"), "PTX of 7.5 and PTX of 8.0 only", id="ptx-only"),
        pytest.param(code(""), "no device code", id="none"),
    ],
)
def test_code_in_words(carried: DeviceCode, text: str) -> None:
    assert str(carried) == text


def test_capabilities_are_ordered_by_number_and_named_as_nvcc_does() -> None:
    read = [ComputeCapability.parse(text) for text in ("10.0", "9.0", "12.1", "8.6")]
    assert [str(one) for one in sorted(read)] == ["8.6", "9.0", "10.0", "12.1"]
    assert [one.sm for one in sorted(read)] == ["sm_86", "sm_90", "sm_100", "sm_121"]


@pytest.mark.parametrize("text", ["", "9", "sm_90", "9.0a", "8.60", "8,6"])
def test_other_texts_are_no_capability(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        ComputeCapability.parse(text)
    assert str(caught.value) == f"{text!r} is not a compute capability"
