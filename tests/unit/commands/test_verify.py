"""A verification is bound to the image that was there, and proves no more than its checks."""

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.version import Version

from builder.commands.build import build
from builder.commands.verify import Inspection, Tools, verify
from builder.domain.artifact import ArtifactKind
from builder.domain.audit.judge import LevelJudgement
from builder.domain.audit.program import Label
from builder.domain.audit.report import FileAudit, ImageAudit, Waived, Waiver
from builder.domain.audit.verdicts import AuditVerdict, Finding, Signal
from builder.domain.evidence import Check, Level, Outcome, Recorded
from builder.domain.isa import IsaLevel
from builder.domain.lockfile import Lock, Unlocked
from builder.domain.tables import IsaFloor
from builder.errors import UsageError
from tests.unit.commands import fakes

OPS = "opt/cellar/lib/python3.11/site-packages/mmcv/_ext.cpython-311-x86_64-linux-gnu.so"


def audited(**verdicts: AuditVerdict) -> ImageAudit:
    """Audit the ops and one wheel; `ops_v2=X` gives the ops the verdict X at x86-64-v2."""

    def levels(name: str) -> tuple[LevelJudgement, ...]:
        return tuple(
            LevelJudgement(
                level=level,
                verdict=verdicts.get(f"{name}_v{level.number}", AuditVerdict.CLEAN),
                counts=(),
                findings=(),
            )
            for level in IsaLevel
        )

    files = tuple(
        FileAudit(name=path, identity=path, levels=levels(name))
        for name, path in {"ops": OPS, "wheel": "opt/cellar/lib/cv2.so"}.items()
    )
    return ImageAudit(target="x", digest="", level=IsaLevel.V1, files=files)


IMPORTS = Check(name="imports", level=Level.L1, outcome=Outcome.PASSED, seconds=1)
GAP = Unlocked(kind=ArtifactKind.WHEEL, name="x", version="1", channel="git", reason="unreachable")
SOURCE = replace(GAP, kind=ArtifactKind.SOURCE)
ELSEWHERE = Recorded(digest="sha256:0", engine="chroot", device="NVIDIA H200", checks=(IMPORTS,))


def tools(engine: fakes.FakeEngine, audit: ImageAudit | None = None) -> Tools:
    return Tools(
        engine=engine,
        tests=lambda: [IMPORTS],
        inspect=lambda _: Inspection(size=7, audit=audit or audited()),
        key=lambda image: f"key of {image.tag}",
    )


@pytest.mark.parametrize(
    ("lock", "detail", "level"),
    [
        pytest.param(fakes.LOCK, "6 inputs", Level.L1, id="locked"),
        pytest.param(replace(fakes.LOCK, unlocked=(GAP,)), "x has no hash", None, id="unlocked"),
        pytest.param(
            replace(fakes.LOCK, unlocked=(SOURCE,)), "6 inputs, without x 1", Level.L1, id="absent"
        ),
        pytest.param(
            replace(fakes.LOCK, sources=(replace(fakes.LOCK.sources[0], quoted=True),)),
            "mmcv-full-1.whl is only quoted",
            None,
            id="quoted",
        ),
    ],
)
def test_evidence(lock: Lock, detail: str, level: Level | None, tmp_path: Path) -> None:
    engine = fakes.FakeEngine()
    built = build(fakes.order(), fakes.tools(tmp_path, engine=engine))
    evidence = verify(fakes.order(lock), tools(engine))
    assert (evidence.digest, evidence.size) == (built.image.digest, 7)
    assert evidence.key == "key of cellar/bevformer:cpu"
    assert [check.name for check in evidence.checks[1:]] == [
        "the compiled ops hold to x86-64-v2",
        "nothing fails on CPUs of x86-64-v2",
        "imports",
    ]
    assert (evidence.checks[0].detail, evidence.level) == (detail, level)


@pytest.mark.parametrize(
    ("verdicts", "level", "runs_from"),
    [
        pytest.param({}, Level.L1, "x86-64", id="clean"),
        pytest.param(
            {"wheel_v1": AuditVerdict.INIT_FAIL}, Level.L1, "x86-64-v2", id="a-wheel-needs-v2"
        ),
        pytest.param(
            {"wheel_v1": AuditVerdict.INIT_FAIL, "wheel_v2": AuditVerdict.INIT_FAIL},
            None,
            "x86-64-v3",
            id="a-wheel-needs-v3",
        ),
        pytest.param({"wheel_v2": AuditVerdict.SUSPECT}, Level.L1, "x86-64", id="a-wheel-suspect"),
        pytest.param({"ops_v2": AuditVerdict.SUSPECT}, None, "x86-64", id="the-ops-suspect"),
        pytest.param({"ops_v2": AuditVerdict.POINTER}, Level.L1, "x86-64", id="the-ops-by-table"),
        pytest.param({"ops_v2": AuditVerdict.INIT_FAIL}, None, "x86-64", id="the-ops-need-more"),
    ],
)
def test_the_audit_keeps_the_lowest_level(
    verdicts: dict[str, AuditVerdict], level: Level | None, runs_from: str, tmp_path: Path
) -> None:
    engine = fakes.FakeEngine()
    build(fakes.order(), fakes.tools(tmp_path, engine=engine))
    evidence = verify(fakes.order(), tools(engine, audited(**verdicts)))
    assert (evidence.level, evidence.runs_from) == (level, runs_from)


def test_what_was_waived_after_review_is_told(tmp_path: Path) -> None:
    engine = fakes.FakeEngine()
    build(fakes.order(), fakes.tools(tmp_path, engine=engine))
    waiver = Waiver(
        build_id="b1", verdict=AuditVerdict.INIT_FAIL, function="f", reason="r", evidence="e"
    )
    waived = (Waived(file="lib/cv2.so", waiver=waiver, functions=3),)
    evidence = verify(fakes.order(), tools(engine, replace(audited(), waived=waived)))
    told = [check.detail for check in evidence.checks if check.name.startswith("nothing fails")]
    assert told == ["2 clean; 3 functions waived after review"]


FLOOR = IsaFloor(
    distribution="cv2",
    version=Version("1"),
    sha256="0" * 64,
    level=IsaLevel.V2,
    file="lib/cv2.so",
    build_id="b1",
    function="0x10",
    instruction="movddup %xmm1,%xmm0",
    needs="sse3",
    cells=("cpu",),
)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        pytest.param({}, "1 wheels", id="as-it-says"),
        pytest.param({"build_id": "b2"}, "not so: ", id="another-file"),
        pytest.param({"file": "lib/other.so"}, "not so: ", id="elsewhere"),
        pytest.param({"function": "0x20"}, "not so: ", id="another-function"),
        pytest.param({"instruction": "movddup %xmm2,%xmm0"}, "not so: ", id="another-instruction"),
        pytest.param({"needs": "sse4_1"}, "not so: ", id="another-feature"),
        pytest.param({"level": IsaLevel.V3}, "not so: ", id="another-level"),
    ],
)
def test_what_the_matrix_says_of_wheels_is_held_against_the_audit(
    change: dict[str, object], detail: str, tmp_path: Path
) -> None:
    finding = Finding(
        verdict=AuditVerdict.INIT_FAIL,
        signal=Signal.STARTS,
        function=Label(symbol="", unit="", address=16),
        needs=("sse3",),
        instruction="movddup %xmm1,%xmm0",
        address=17,
    )
    audit = audited()
    wheel = audit.files[1]
    levels = (replace(wheel.levels[0], findings=(finding,)), *wheel.levels[1:])
    audit = replace(audit, files=(audit.files[0], replace(wheel, build_id="b1", levels=levels)))
    floor = replace(FLOOR, **change)  # type: ignore[arg-type]
    engine = fakes.FakeEngine()
    build(fakes.order(), fakes.tools(tmp_path, engine=engine))
    found = Inspection(size=7, audit=audit, floors=(floor,))
    evidence = verify(fakes.order(), replace(tools(engine), inspect=lambda _: found))
    assert evidence.checks[3].detail.startswith(detail)
    assert evidence.level is (Level.L1 if detail == "1 wheels" else None)


@pytest.mark.parametrize(
    ("package", "verdict", "detail"),
    [
        pytest.param("cv2", AuditVerdict.CLEAN, "1 clean", id="holds"),
        pytest.param("cv2", AuditVerdict.POINTER, "1 pointer", id="by-table"),
        pytest.param(
            "cv2",
            AuditVerdict.SUSPECT,
            "1 suspect; opt/site-packages/cv2/cv2.so: suspect: "
            "_init: movddup %xmm1,%xmm0 needs sse3",
            id="still-above",
        ),
        pytest.param(
            "cv2",
            AuditVerdict.UNKNOWN,
            "1 unknown; opt/site-packages/cv2/cv2.so: unknown",
            id="nobody-knows",
        ),
        pytest.param("numpy", AuditVerdict.CLEAN, "no such file", id="not-there"),
    ],
)
def test_what_was_compiled_anew_must_hold_to_the_level(
    package: str, verdict: AuditVerdict, detail: str, tmp_path: Path
) -> None:
    finding = Finding(
        verdict=AuditVerdict.SUSPECT,
        signal=Signal.DIRECT,
        function=Label(symbol="_init", unit="", address=16),
        needs=("sse3",),
        instruction="movddup %xmm1,%xmm0",
        address=17,
    )
    audit = audited(wheel_v2=verdict)
    ops, wheel = audit.files
    levels = tuple(replace(judged, findings=(finding,)) for judged in wheel.levels)
    audit = replace(
        audit, files=(ops, replace(wheel, name="opt/site-packages/cv2/cv2.so", levels=levels))
    )
    engine = fakes.FakeEngine()
    build(fakes.order(), fakes.tools(tmp_path, engine=engine))
    floor = replace(FLOOR, file=f"{package}/cv2.so")
    found = Inspection(size=7, audit=audit, replaced=(floor,))
    evidence = verify(fakes.order(), replace(tools(engine), inspect=lambda _: found))
    check = evidence.checks[3]
    assert (check.name, check.detail) == ("cv2, compiled anew, holds to x86-64-v2", detail)
    assert (evidence.level is Level.L1) is (detail in ("1 clean", "1 pointer"))


def test_an_image_without_ops_fails(tmp_path: Path) -> None:
    engine = fakes.FakeEngine()
    build(fakes.order(), fakes.tools(tmp_path, engine=engine))
    evidence = verify(fakes.order(), tools(engine, replace(audited(), files=audited().files[1:])))
    assert [check.detail for check in evidence.failed] == ["no such file"]


def test_no_image_is_said() -> None:
    with pytest.raises(UsageError, match=r"^fake has no image cellar/bevformer:cpu$"):
        verify(fakes.order(), tools(fakes.FakeEngine()))


def test_what_was_found_elsewhere_counts_for_its_image_only(tmp_path: Path) -> None:
    engine = fakes.FakeEngine()
    digest = build(fakes.order(), fakes.tools(tmp_path, engine=engine)).image.digest
    own = replace(tools(engine), recorded=replace(ELSEWHERE, digest=digest))
    evidence = verify(fakes.order(), own)
    assert (evidence.device, evidence.engine, evidence.level) == ("NVIDIA H200", "chroot", Level.L1)
    with pytest.raises(UsageError) as raised:
        verify(fakes.order(), replace(own, recorded=ELSEWHERE))
    assert str(raised.value) == f"the results are of sha256:0, and cellar/bevformer:cpu is {digest}"
