"""What an ISA name promises, and what only looks like one."""

import pytest

from builder.domain.audit.names import promises, stem, unit_promises
from builder.domain.isa import IsaLevel

V1, V2, V3, V4 = IsaLevel

NAMES = [
    ("mkl_blas_avx2_xsgemm", (V2, V3), (V4, None)),
    ("sdot_k_HASWELL", (V3,), (V4,)),
    ("sgemm_kernel_SKYLAKEX", (V3, V4), (None,)),
    ("ElementWiseSumAVX2", (V3,), (V4,)),
    ("_ZN6caffe213max_pool_avx2EPKhii", (V3,), (V4,)),
    ("loops_X86_V3", (V3,), (V4,)),
    ("aesni_encrypt", (None, V4), ()),
    ("dgemm_kernel_BULLDOZER", (None,), ()),
    ("mkl_vml_kernel_dSin_L9LAynn", (V3,), (V4,)),
    ("mkl_vsl_kernel_z0_sRngUniform", (V4,), (None,)),
    ("sum_sse42", (V2,), (V3,)),
    ("__svml_acos8_ha", (V4,), (None,)),
    ("__svml_tanhf16", (V4,), (None,)),
    ("__svml_sinf8", (V3,), (V4,)),
    ("__svml_pow4", (V3,), (V4,)),
    ("argsort<zmm_vector<float>>", (V4,), (None,)),
    ("sgemm_kernel_OPTERON", (None,), ()),
    ("dynamic_cast_mica", (), (V2, V3, V4, None)),
    ("atomic_add", (), (V2,)),
    ("zenith", (), (V3,)),
    ("format_fmadd", (), (V3,)),
    ("sum_sse2", (), (V2,)),
    ("x.DEFAULT.cpp", (), (V1,)),
    ("", (), (V1, None)),
]


@pytest.mark.parametrize(("name", "yes", "no"), NAMES, ids=[name or "none" for name, *_ in NAMES])
def test_promises(
    name: str, yes: tuple[IsaLevel | None, ...], no: tuple[IsaLevel | None, ...]
) -> None:
    assert [level for level in (*yes, *no) if promises(name, level)] == list(yes)


@pytest.mark.parametrize(
    ("unit", "level", "expected"),
    [
        ("dispavx.c", V3, True),
        ("BinaryOpsKernel.cpp.AVX2.cpp", V3, True),
        ("BinaryOpsKernel.cpp.DEFAULT.cpp", V3, False),
        ("dispavx.c", V4, False),
        ("plain.c", V2, False),
    ],
)
def test_unit_names_may_hold_the_token_anywhere(
    unit: str, level: IsaLevel, *, expected: bool
) -> None:
    assert unit_promises(unit, level) is expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sum_avx2", "sum_sse2", True),
        ("_ZN3foo8sum_avx2Ei", "_ZN3foo11sum_genericEi", True),
        ("sum_avx2", "product_avx2", False),
    ],
)
def test_variants_share_a_stem(one: str, other: str, *, same: bool) -> None:
    assert (stem(one) == stem(other)) is same
