import pytest

from builder.adapters.progress import PlainProgress, amount, pace


@pytest.mark.parametrize(
    ("done", "total", "unit", "text"),
    [
        pytest.param(3, 10, "step", "3/10", id="steps"),
        pytest.param(3, None, "step", "3", id="steps of an unknown total"),
        pytest.param(1_500_000, 3_000_000, "byte", "1.5 MB/3.0 MB", id="bytes"),
    ],
)
def test_amount(done: int, total: int | None, unit: str, text: str) -> None:
    assert amount(done, total, unit) == text


@pytest.mark.parametrize(
    ("speed", "left", "unit", "text"),
    [
        pytest.param(2e6, 65.0, "byte", "2.0 MB/s 1:05 left", id="bytes"),
        pytest.param(2.0, 5.0, "step", "0:05 left", id="steps have no rate"),
        pytest.param(None, None, "byte", "", id="nothing known yet"),
    ],
)
def test_pace(speed: float | None, left: float | None, unit: str, text: str) -> None:
    assert pace(speed, left, unit) == text


def test_plain_lines_come_at_most_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 1.0, 9.0, 10.0])
    task = PlainProgress(clock=lambda: next(seconds)).task("fetch", total=4_000, unit="byte")
    task.advance(1_000)
    task.advance(1_000)
    task.finish()
    assert capsys.readouterr().err.splitlines() == [
        "fetch (0 bytes/4.0 kB) ...",
        "fetch: 2.0 kB/4.0 kB 222 bytes/s 0:09 left",
        "fetch: 2.0 kB in 10.0 s",
    ]


def test_work_that_is_only_described_shows_no_count(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 9.0, 9.5])
    task = PlainProgress(clock=lambda: next(seconds)).task("compile")
    task.describe("compile: file 3")
    task.finish()
    assert capsys.readouterr().err.splitlines() == [
        "compile ...",
        "compile: file 3",
        "compile: file 3 in 9.5 s",
    ]
