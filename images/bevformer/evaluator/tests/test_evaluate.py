"""The temporal state, the records, and what a broken model or archive ends in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Callable, Iterator, List, Sequence, Tuple

import numpy as np
import pytest

from bevformer_eval import evaluate
from bevformer_eval.data.images import read
from bevformer_eval.data.nuscenes import Dataset, Request, Scene, load
from bevformer_eval.data.source import DirectorySource
from bevformer_eval.errors import DataError, EvalError, ExitCode
from bevformer_eval.journal import Journal
from bevformer_eval.predict import EgoMotion, SceneResult
from bevformer_eval.progress import Progress
from bevformer_eval.results import Boxes

Run = Callable[..., Tuple[int, str, str]]


@pytest.fixture(scope="module")
def dataset(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(DirectorySource(pristine), Request(), tmp_path_factory.mktemp("cache"))


def test_ego_motion_is_the_difference_of_two_frames(dataset: Dataset) -> None:
    for scene in dataset.scenes:
        motion, previous = EgoMotion(), None
        for sample in scene.samples:
            before = sample.can_bus.copy()
            vector, has_previous = motion.step(sample)
            assert np.array_equal(sample.can_bus, before), "the sample itself stays as it is"
            assert has_previous == (previous is not None)
            assert np.array_equal(vector[3:17], before[3:17])
            shift = before - previous if has_previous else np.zeros(18)
            assert np.array_equal(vector[[0, 1, 2, 17]], shift[[0, 1, 2, 17]])
            previous = before


def test_shares_are_whole_scenes_and_cover_all() -> None:
    scenes = [Scene(str(n), str(n), []) for n in range(7)]
    shares = [evaluate.share(scenes, rank, 3) for rank in range(3)]
    assert sorted(scene.token for part in shares for scene in part) == [str(n) for n in range(7)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


class _Fixed:
    """A predictor that returns the same boxes for every sample."""

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes

    def predict(
        self, scenes: Sequence[Scene], advance: Callable[[], None]
    ) -> Iterator[SceneResult]:
        for scene in scenes:
            for _ in scene.samples:
                advance()
            yield SceneResult(scene, [self._boxes] * len(scene.samples))


def _boxes(value: float) -> Boxes:
    return Boxes(np.full((2, 9), value, np.float32), np.ones(2, np.float32), np.array([0, 9]))


def test_records_keep_every_bit(dataset: Dataset, tmp_path: Path) -> None:
    journal = Journal(tmp_path, {"model": "fixed"})
    value = 0.1 + 2**-20
    with Progress(6) as progress:
        evaluate.evaluate(dataset.scenes, _Fixed(_boxes(value)), journal, progress)
    record = journal.read(dataset.scenes[0].token)
    assert len(record.boxes) == 3
    for found in record.boxes:
        for part, wanted in zip(found, _boxes(value)):
            assert part.dtype == wanted.dtype
            assert np.array_equal(part, wanted)
    results, timings = evaluate.collect(dataset, journal)
    assert list(results) == [s.token for scene in dataset.scenes for s in scene.samples]
    assert (timings["samples"], timings["images"], timings["processes"]) == (6, 36, 1)


def test_samples_without_boxes_are_recorded(dataset: Dataset, tmp_path: Path) -> None:
    journal = Journal(tmp_path, {})
    none = Boxes(np.zeros((0, 9)), np.zeros(0), np.zeros(0, np.int64))
    with Progress(6) as progress:
        evaluate.evaluate(dataset.scenes, _Fixed(none), journal, progress)
    assert set(map(len, evaluate.collect(dataset, journal)[0].values())) == {0}


def test_runs_that_differ_have_journals_of_their_own(tmp_path: Path) -> None:
    folders = {Journal(tmp_path, {"seed": seed}).folder for seed in (0, 1, 0)}
    assert len(folders) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_named(
    dataset: Dataset, tmp_path: Path, value: float
) -> None:
    journal = Journal(tmp_path, {})
    with pytest.raises(EvalError, match="returned NaN or infinity"), Progress(6) as progress:
        evaluate.evaluate(dataset.scenes, _Fixed(_boxes(value)), journal, progress)
    assert evaluate.pending(dataset.scenes, journal) == dataset.scenes


class _Torn(io.BytesIO):
    """A file that breaks off while it is read."""

    def read(self, _: object = None) -> bytes:
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")


def test_a_file_that_breaks_off_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DirectorySource, "open", lambda *_: _Torn())
    with pytest.raises(DataError, match=r"x\.jpg: cannot be read: Compressed file ended"):
        read(DirectorySource(tmp_path), "x.jpg")


def test_a_damaged_image_is_named_by_the_command(run: Run, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for image in data.glob("samples/CAM_BACK/*.jpg"):
        image.write_bytes(b"")
    words = ["--data", data, "--seed", "0", "--device", "cpu", "--work-dir", tmp_path / "w"]
    code, _, err = run(*words)
    assert code == ExitCode.DATA
    assert ".jpg is cut off or not a JPEG" in err
    assert "Traceback" not in err


def test_a_missing_library_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> List[object]:
        raise ImportError("libcublas.so.12: cannot open shared object file")

    monkeypatch.setattr("bevformer_eval.session.run", broken)
    code, _, err = run("--synthetic", "--work-dir", tmp_path)
    assert code == ExitCode.HOST
    assert err.startswith("error: this installation is incomplete: libcublas.so.12")
