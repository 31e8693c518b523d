"""One run of the evaluation, from the options to the files it leaves in the work directory."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from bevformer_eval import __version__, distributed, metrics
from bevformer_eval.choice import Choice, Chosen, choose, predictor
from bevformer_eval.data import nuscenes, origin
from bevformer_eval.draw import Pictures, draw_all
from bevformer_eval.evaluate import SCHEMA, Process, collect, evaluate, pending, share
from bevformer_eval.ground_truth import GroundTruth
from bevformer_eval.journal import Journal
from bevformer_eval.output import emit, storage_errors, write_json
from bevformer_eval.predict import GroundTruthPredictor
from bevformer_eval.progress import Progress
from bevformer_eval.results import Detection, format_sample, submission

if TYPE_CHECKING:  # they import torch
    from bevformer_eval.golden import GoldenReport
    from bevformer_eval.golden_scenes import GoldenScenes


@dataclass
class Session:
    """What the steps of a run hand on to each other."""

    args: argparse.Namespace
    place: distributed.Place
    dataset: nuscenes.Dataset
    choice: Choice
    journal: Journal
    golden: Optional[GoldenScenes] = None  # for --check-golden
    _devkit: Optional[Any] = None

    @property
    def devkit(self) -> Any:
        """nuscenes-devkit's database, opened on demand: who only predicts needs none."""
        if self._devkit is None:
            folder = self.args.work_dir / "devkit" / f"rank{self.place.rank}"
            self._devkit = metrics.open_devkit(self.dataset, folder)
        return self._devkit


def run(args: argparse.Namespace) -> None:
    """Evaluate, score and report as checked options say; EvalError where a gate does not hold."""
    place = distributed.place(args.share)
    _check_writable(args.work_dir)
    choice = choose(args, place)  # a wrong checkpoint or GPU is named before the data is read
    session = _open(args, place, choice)
    if args.check_golden:
        _prepare_golden(session)
    scenes = _unfinished(session)
    if scenes:
        _evaluate(session, scenes)
    if place.rank == 0 and not args.share:
        _report(session)


def _open(args: argparse.Namespace, place: distributed.Place, choice: Choice) -> Session:
    if args.synthetic:
        source = origin.synthesize(args.work_dir, args.scene_seed, args.scenes, args.samples)
    else:
        source = origin.open_data(args.data, args.work_dir)
    request = nuscenes.Request(args.version, args.split, args.partial or args.synthetic, args.infos)
    dataset = nuscenes.load(source, request, args.work_dir / "cache")
    choice = choice.fitted(len(dataset.scenes))
    identity = {
        "version": dataset.version,
        "split": dataset.split,
        "scenes": [scene.token for scene in dataset.scenes],
        "infos": str(args.infos or ""),
        "model": choice.identity,
        "evaluator": __version__,
    }
    return Session(args, place, dataset, choice, Journal(args.work_dir, identity))


def _prepare_golden(session: Session) -> None:
    from bevformer_eval.golden_scenes import GoldenScenes

    session.golden = GoldenScenes(session.args.seed or 0, session.dataset.source)
    session.golden.check_inputs(
        [sample for scene in session.dataset.scenes for sample in scene.samples]
    )
    # Every output is looked at, also where a run has recorded it.
    session.journal.forget([scene.token for scene in session.dataset.scenes])


def _unfinished(session: Session) -> List[nuscenes.Scene]:
    if session.args.fresh and session.place.count == 1:
        session.journal.forget([scene.token for scene in session.dataset.scenes])
    return pending(session.dataset.scenes, session.journal)


def _evaluate(session: Session, scenes: List[nuscenes.Scene]) -> None:
    args, place, dataset = session.args, session.place, session.dataset
    if args.gpus > 1 and not args.share:
        with Progress(dataset.size, dataset.size - _samples(scenes)) as progress:
            distributed.run_shares(args.argv, args.gpus, _Watch(session, scenes, progress))
        return
    # Shares are cut from all scenes, not from the unfinished ones, which other processes are
    # working off.
    mine = share(dataset.scenes, place.rank, place.count)
    unfinished = pending(mine, session.journal)
    if unfinished:
        _evaluate_here(session, mine, unfinished)
    if place.count > 1 and place.rank == 0 and not args.share:
        distributed.wait_for(lambda: not pending(dataset.scenes, session.journal))


def _evaluate_here(
    session: Session, mine: List[nuscenes.Scene], unfinished: List[nuscenes.Scene]
) -> None:
    """Evaluate in this process what is unfinished of its scenes."""
    begin = time.perf_counter()
    chosen = _choose_predictor(session)
    rank = session.place.rank
    process = Process(rank, chosen.arithmetic, time.perf_counter() - begin)
    done = _samples(mine) - _samples(unfinished)
    with Progress(_samples(mine), done, silent=rank > 0 or session.args.share) as progress:
        evaluate(unfinished, chosen.predictor, session.journal, progress, process)


def _choose_predictor(session: Session) -> Chosen:
    if session.args.ground_truth:
        return Chosen(GroundTruthPredictor(GroundTruth(session.devkit)))
    observer = session.golden.observe if session.golden else None
    return predictor(session.choice, session.args, session.dataset, observer)


def _samples(scenes: List[nuscenes.Scene]) -> int:
    return sum(len(scene.samples) for scene in scenes)


class _Watch:
    """Advances the progress by the scenes that other processes have just recorded."""

    def __init__(self, session: Session, scenes: List[nuscenes.Scene], progress: Progress) -> None:
        self._journal, self._left, self._progress = session.journal, scenes, progress

    def __call__(self) -> None:
        left = pending(self._left, self._journal)
        done = _samples(self._left) - _samples(left)
        self._left = left
        if done:
            self._progress.advance(done)


def _report(session: Session) -> None:
    """Write the results, metrics, timings and pictures, print the table, and judge the gates."""
    args, dataset = session.args, session.dataset
    results, timings = collect(dataset, session.journal)
    names = ("results_nusc", "metrics", "timings")
    files = {name: args.work_dir / f"{name}.json" for name in names}
    scores = _score(session, results, timings, files)
    if args.show is not None:
        pictures = Pictures(args.work_dir / "pictures", args.show, args.show_score)
        draw_all(session.devkit, dataset, results, pictures)
    written = ", ".join(file.name for file in files.values())
    text = f"{metrics.table(scores)}\n{_speed(timings)}\nwritten to {args.work_dir}: {written}"
    paths = {name: str(file) for name, file in files.items()}
    result: Dict[str, object] = {"metrics": scores, "timings": timings, "files": paths}
    report = _golden_report(session)
    if report is not None:
        result["golden"] = report.as_dict()
        text = f"{text}\n{report.table()}"
    emit(result, text, as_json=args.json)
    _judge(session, scores, report)


def _score(
    session: Session,
    results: Dict[str, List[Detection]],
    timings: Dict[str, Any],
    files: Dict[str, Path],
) -> Dict[str, Any]:
    """Write the three files, and return what metrics.json holds."""
    dataset = session.dataset
    begin = time.perf_counter()
    write_json(files["results_nusc"], submission(results), indent=None)
    timings["seconds"]["format"] += time.perf_counter() - begin
    begin = time.perf_counter()
    scores = {
        "schema": SCHEMA,
        "version": dataset.version,
        "split": dataset.split,
        "scenes": len(dataset.scenes),
        "samples": dataset.size,
        "synthetic": session.args.synthetic,
        "model": _model(session.choice, timings),
        **metrics.score(session.devkit, dataset.split, files["results_nusc"]),
    }
    write_json(files["metrics"], scores)
    timings["seconds"]["score"] = time.perf_counter() - begin
    timings["device"] = session.choice.device_name()
    if session.args.image_scale is not None:
        timings["image_scale"] = session.args.image_scale
    write_json(files["timings"], timings)
    return scores


def _model(choice: Choice, timings: Dict[str, Any]) -> Dict[str, object]:
    """Return what decided the result, with the arithmetic that was used in place of `auto`."""
    used = {"arithmetic": timings["arithmetic"]} if "arithmetic" in choice.identity else {}
    return {**choice.identity, **used}


def _golden_report(session: Session) -> Optional[GoldenReport]:
    if session.golden is None:
        return None
    truth = GroundTruthPredictor(GroundTruth(session.devkit)).predict(
        session.dataset.scenes, lambda: None
    )
    results = {
        sample.token: format_sample(sample, boxes)
        for found in truth
        for sample, boxes in zip(found.scene.samples, found.boxes)
    }
    file = session.args.work_dir / "ground_truth_nusc.json"
    write_json(file, submission(results))
    return session.golden.report(metrics.score(session.devkit, session.dataset.split, file)["mAP"])


def _judge(session: Session, scores: Dict[str, Any], report: Optional[GoldenReport]) -> None:
    args = session.args
    metrics.gate(scores, {"mAP": args.expect_map, "NDS": args.expect_nds}, args.tolerance)
    if report is not None:
        from bevformer_eval.golden_scenes import judge

        judge(report)


def _speed(timings: Dict[str, Any]) -> str:
    memory = timings["peak_memory_bytes"]
    scale = f", images scaled by {timings['image_scale']:g}" if "image_scale" in timings else ""
    gpu = f", GPU {memory['gpu'] / 2**30:.2f} GiB" if memory["gpu"] else ""
    arithmetic = f" ({timings['arithmetic']})" if timings["arithmetic"] else ""
    return (
        f"{timings['samples']} samples on {timings['device']}{arithmetic}{scale}: "
        f"{timings['samples_per_second']:.3g} samples/s, "
        f"{timings['images_per_second']:.3g} images/s; "
        f"peak memory {memory['host'] / 2**30:.2f} GiB{gpu}"
    )


def _check_writable(work_dir: Path) -> None:
    with storage_errors(work_dir):
        work_dir.mkdir(parents=True, exist_ok=True)
        probe = work_dir / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
