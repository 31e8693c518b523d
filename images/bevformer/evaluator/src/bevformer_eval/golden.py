"""`compare-golden`: the native model against what the authors' code returned for the same frame."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from bevformer_eval.data import CAMERAS, SCALE
from bevformer_eval.data.images import decode as decode_image
from bevformer_eval.data.images import preprocess
from bevformer_eval.errors import DataError
from bevformer_eval.model import BEVFormerTiny, Detections, Output, decode
from bevformer_eval.weights import seeded_state_dict

# What two torch versions of the authors' own code differ by, in float32.
RELATIVE, ABSOLUTE = 1e-3, 2e-4
# Detections whose scores are closer than this change places from one torch to another.
SCORE_TIE = 1e-6
# The BEV is stored as float16: its last digit is 2^-11 of the value.
BEV_RELATIVE, BEV_ABSOLUTE = 2e-3, 1e-3

YAW = 6
_FRAME_HINT = "give the directory that holds frame.json and the six images that it names"


class Row(NamedTuple):
    """One array against its golden one: the largest deviation, and its share of the tolerance."""

    name: str
    deviation: float
    of_tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Say whether the whole array lies within the tolerance; a NaN does not."""
        return self.of_tolerance <= 1.0


class GoldenReport(NamedTuple):
    """The deviations of every array of every frame."""

    rows: Tuple[Row, ...]
    seed: int
    torch: str

    @property
    def passed(self) -> bool:
        """Say whether every array agrees."""
        return all(row.passed for row in self.rows)

    def as_dict(self) -> Dict[str, object]:
        """Return the report for JSON."""
        rows = [{**row._asdict(), "passed": row.passed} for row in self.rows]
        return {"seed": self.seed, "torch": self.torch, "passed": self.passed, "arrays": rows}

    def table(self) -> str:
        """Return the report for people."""
        lines = [f"{'array':<20}{'deviation':>11}{'of tolerance':>14}"]
        for row in self.rows:
            verdict = "ok" if row.passed else "DIFFERS"
            share = f"{row.of_tolerance:.1%}"
            lines.append(
                f"{row.name:<20}{row.deviation:>11.2e}{share:>14}  {verdict} {row.note}".rstrip()
            )
        return "\n".join(lines)


class Frame(NamedTuple):
    """A real frame: normalised images (6, 3, 480, 800) and lidar2img (6, 4, 4), scaled."""

    images: np.ndarray
    lidar2img: np.ndarray


def compare(frame_dir: Path, golden_npz: Path, seed: int = 0, device: str = "cpu") -> GoldenReport:
    """Run the seeded model over the golden file's time steps, and compare every array of each.

    Raises DataError where the frame or the golden file is missing or malformed.
    """
    frame, golden = load_frame(Path(frame_dir)), load_golden(Path(golden_npz))
    model = BEVFormerTiny().eval()
    model.load_state_dict(seeded_state_dict(seed))
    outputs = run_steps(model.to(device), frame, golden)
    rows = [compare_array("lidar2img", frame.lidar2img, golden["lidar2img"])]
    for step, output in enumerate(outputs):
        rows += compare_step(step, output, golden)
    return GoldenReport(tuple(rows), seed, torch.__version__)


def run_steps(model: Any, frame: Frame, golden: Mapping[str, np.ndarray]) -> List[Output]:
    """Return the model's output, on the CPU, for each of the golden file's time steps."""
    device = next(model.parameters()).device
    images = torch.from_numpy(frame.images)[None].to(device)
    lidar2img = torch.from_numpy(golden["lidar2img"])[None].to(device)
    outputs: List[Output] = []
    bev = None
    with torch.no_grad():
        for can_bus in ego_motion([golden[f"can_bus_{step}"] for step in range(_steps(golden))]):
            output = model(images, lidar2img, torch.from_numpy(can_bus)[None].to(device), bev)
            bev = output.bev
            outputs.append(Output(*(part.cpu() for part in output)))
    return outputs


def ego_motion(vectors: Sequence[np.ndarray]) -> List[np.ndarray]:
    """Return the vectors with position (0 to 2) and degrees (17) as changes; zero in the first."""
    changes = []
    for index, vector in enumerate(vectors):
        before = vectors[max(index - 1, 0)]
        change = vector.copy()
        change[[0, 1, 2, -1]] -= before[[0, 1, 2, -1]]
        changes.append(change)
    return changes


def compare_step(step: int, output: Output, golden: Mapping[str, np.ndarray]) -> List[Row]:
    """Compare one output with the golden arrays of its time step."""
    rows = [
        compare_array(f"cls_scores {step}", output.cls_scores, golden[f"all_cls_scores_{step}"]),
        compare_array(f"bbox_preds {step}", output.bbox_preds, golden[f"all_bbox_preds_{step}"]),
    ]
    if f"bev_embed_{step}" in golden:
        stored = golden[f"bev_embed_{step}"].reshape(output.bev.shape)
        rows.append(compare_array(f"bev {step}", output.bev, stored, (BEV_RELATIVE, BEV_ABSOLUTE)))
    boxes, scores, labels = (golden[f"{part}_{step}"] for part in ("boxes", "scores", "labels"))
    expected = Detections(*(torch.from_numpy(part) for part in (boxes, scores, labels)))
    rows.append(compare_detections(f"detections {step}", decode(output)[0], expected))
    return rows


def compare_array(
    name: str, found: Any, expected: Any, tolerance: Tuple[float, float] = (RELATIVE, ABSOLUTE)
) -> Row:
    """Compare two arrays by a relative plus an absolute tolerance."""
    left, right = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if left.shape != right.shape:
        return Row(name, math.inf, math.inf, f"shape {left.shape}, golden {right.shape}")
    deviation = np.abs(left - right)
    share = deviation / (tolerance[0] * np.abs(right) + tolerance[1])
    return Row(name, float(deviation.max()), float(share.max()))


def compare_detections(name: str, found: Detections, expected: Detections) -> Row:
    """Match each golden detection with one of ours: same label, box and score within tolerance.

    Places may differ where scores tie, that is by SCORE_TIE or by what the scores themselves
    deviate. Without a one-to-one match the deviation is infinite, and the note counts the orphans.
    """
    if len(found.boxes) != len(expected.boxes):
        note = f"{len(found.boxes)} detections, golden {len(expected.boxes)}"
        return Row(name, math.inf, math.inf, note)
    shares, deviations = _pairwise(found, expected)
    pairs = _match(shares)
    orphans = sum(partner < 0 for partner in pairs)
    if orphans:
        return Row(name, math.inf, math.inf, f"{orphans} of {len(pairs)} have no equal")
    rows = np.arange(len(pairs))
    scores = expected.scores.double().numpy()
    score_deviation = np.abs(found.scores.double().numpy()[pairs] - scores).max(initial=0.0)
    gaps = np.abs(scores - scores[pairs])
    tie = max(SCORE_TIE, 2 * float(score_deviation))
    share = max(shares[rows, pairs].max(initial=0.0), gaps.max(initial=0.0) / tie)
    moved = int((np.asarray(pairs) != rows).sum())
    note = f"{len(pairs)} matched, {moved} in other places, scores within {score_deviation:.1e}"
    return Row(name, float(deviations[rows, pairs].max(initial=0.0)), float(share), note)


def _pairwise(found: Detections, expected: Detections) -> Tuple[np.ndarray, np.ndarray]:
    """Return, golden by ours, the largest share of the tolerance and the largest deviation."""

    def columns(detections: Detections) -> Tensor:
        return torch.cat((detections.boxes.double(), detections.scores.double()[:, None]), 1)

    left, right = columns(found)[None], columns(expected)[:, None]
    deviation = (left - right).abs()
    around = 2 * math.pi - deviation[..., YAW]  # -pi and pi are the same heading
    deviation[..., YAW] = torch.minimum(deviation[..., YAW], around.abs())
    share = (deviation / (RELATIVE * right.abs() + ABSOLUTE)).amax(-1)
    share[expected.labels[:, None] != found.labels[None]] = math.inf
    return share.numpy(), deviation.amax(-1).numpy()


def _match(shares: np.ndarray) -> List[int]:
    """Return for each golden detection the best partner within tolerance, or -1, each used once."""
    free = shares.copy()
    pairs = []
    for row in range(len(free)):
        best = int(free[row].argmin())
        within = free[row, best] <= 1.0
        pairs.append(best if within else -1)
        if within:
            free[:, best] = math.inf
    return pairs


def load_frame(frame_dir: Path) -> Frame:
    """Read `frame.json` (mmdetection3d's info of one sample) and its six camera images."""
    path = frame_dir / "frame.json"
    try:
        cameras = json.loads(path.read_text(encoding="utf-8"))["images"]
        names = [str(cameras[camera]["img_path"]) for camera in CAMERAS]
        lidar2img = np.stack([_lidar2img(cameras[camera]) for camera in CAMERAS])
        data = [(frame_dir / name).read_bytes() for name in names]
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}", hint=_FRAME_HINT) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is malformed: {error!r}", hint=_FRAME_HINT) from error
    images = [decode_image(bytes_, str(frame_dir / name)) for bytes_, name in zip(data, names)]
    return Frame(preprocess(images), lidar2img)


def _lidar2img(camera: Mapping[str, Any]) -> np.ndarray:
    cam2img = np.eye(4)
    cam2img[:3, :3] = np.asarray(camera["cam2img"], np.float64)[:3, :3]
    scale = np.diag([SCALE, SCALE, 1.0, 1.0])
    return scale @ (cam2img @ np.asarray(camera["lidar2cam"], np.float64).reshape(4, 4))


def load_golden(path: Path) -> Dict[str, np.ndarray]:
    """Read a golden file and check that it holds what is compared."""
    hint = "give the .npz that was made with the authors' code"
    try:
        with np.load(str(path), allow_pickle=False) as file:
            golden = {name: file[name] for name in file.files}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}", hint=hint) from error
    except (ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no golden file, or is cut off: {error}", hint=hint) from error
    names = ("can_bus", "all_cls_scores", "all_bbox_preds", "boxes", "scores", "labels")
    steps = range(max(_steps(golden), 1))
    wanted = ["lidar2img", *(f"{name}_{step}" for step in steps for name in names)]
    missing = [name for name in wanted if name not in golden]
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}", hint=hint)
    return golden


def _steps(golden: Mapping[str, np.ndarray]) -> int:
    return sum(name.startswith("can_bus_") for name in golden)
