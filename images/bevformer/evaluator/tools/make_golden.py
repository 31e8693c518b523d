"""Make golden_data: what the authors' own BEVFormer-tiny detects in the default synthetic scenes.

Upstream: fundamentalvision/BEVFormer 2f37d0d4932b064dce49154aef7173688410420f with mmdetection3d
v0.17.1 (f1107977dfd26155fc1f83779ee6535d2468f449). The committed data were made with Python 3.8,
torch 1.9.1, torchvision 0.10.1, mmcv-full 1.4.0, mmdet 2.14.0, mmsegmentation 0.14.1, numpy 1.23.5,
opencv-python-headless 4.8.1 and nuscenes-devkit 1.1.10, on the CPU in float32, where the attention
takes mmcv's PyTorch form.

The environment must already import mmcv, mmdet, mmseg, mmdet3d and upstream's plugin, and this
distribution. All between the scenes and the detections is upstream's: its converter makes the
infos, its dataset and pipeline read them, its forward_test keeps the temporal state. Only the
scenes and the seeded weights are ours.

    python make_golden.py --upstream BEVFormer --out ../src/bevformer_eval/golden_data

synthetic_seed<N>.npz, for sample i in upstream's order: can_bus_i (18, before forward_test takes
differences), lidar2img_i (6, 4, 4), all_cls_scores_i and all_bbox_preds_i (1, 900, 10; the last
decoder layer's), boxes_i (300, 9; x y z of the bottom, w l h, yaw, vx vy), scores_i, labels_i; and
tokens, scene_tokens (S), image_sha256 (S, 6).
synthetic_seed<N>.json: the versions, and what nuscenes-devkit says of these detections.
synthetic_perturbed.json: the true boxes with seeded noise as `detections`, the `submission` that
upstream's dataset makes of them, and its `metrics`. Seeded weights detect nothing, so these carry
the evaluation path.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np
import torch

from bevformer_eval.data import CAMERAS
from bevformer_eval.data.synthetic import write_scenes
from bevformer_eval.weights import seeded_state_dict

Arrays = Dict[str, np.ndarray]
COMMIT = "2f37d0d4932b064dce49154aef7173688410420f"
CONFIG = "projects/configs/bevformer/bevformer_tiny.py"
PACKAGES = ("mmcv", "mmdet", "mmseg", "mmdet3d", "torchvision")
EVAL_SETS = {"v1.0-mini": "mini_val", "v1.0-trainval": "val"}
LOST = MISTAKEN = 0.1  # shares of the true boxes that the perturbed detections lack or misname
SPREAD = (0.4, 0.4, 0.2, 0.2, 0.4, 0.2, 0.2, 0.5, 0.5)  # metres, radians, metres a second


def main() -> None:
    """Write the three files into --out."""
    args = _arguments()
    upstream, out = args.upstream.resolve(), args.out.resolve()
    _check_commit(upstream)
    sys.path.insert(0, str(upstream))
    os.chdir(str(upstream))  # upstream's imports and its config are relative to its root
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "nuscenes"
        version = write_scenes(root)
        infos = _write_infos(root, version, Path(scratch))
        dataset, model = _build(root, infos, args.seed)
        arrays, results = _detect(dataset, model)
        _, metrics = _judge(dataset, results, root, version)
        perturbed = _perturbed(dataset)
        submission, perturbed_metrics = _judge(
            dataset, _as_results(dataset, perturbed), root, version
        )
    name = f"synthetic_seed{args.seed}"
    np.savez_compressed(str(out / f"{name}.npz"), **arrays)
    record = {"upstream": COMMIT, "versions": _versions(), "seed": args.seed, "metrics": metrics}
    _write_json(out / f"{name}.json", record)
    record = {"detections": perturbed, "submission": submission, "metrics": perturbed_metrics}
    _write_json(out / "synthetic_perturbed.json", record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upstream", type=Path, required=True, help="the authors' source tree")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write into")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the weights (default: 0)")
    return parser.parse_args()


def _check_commit(upstream: Path) -> None:
    """Refuse a git checkout of another commit; a tree without git is taken on trust."""
    if not (upstream / ".git").exists():
        return
    argv = ["git", "-C", str(upstream), "rev-parse", "HEAD"]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE)  # noqa: S603 - git, on our own path
    head = done.stdout.decode().strip()
    if head != COMMIT:
        sys.exit(f"error: {upstream} is at {head}; golden data are made at {COMMIT}")


def _write_infos(root: Path, version: str, out: Path) -> Path:
    """Let upstream's converter write its info files, and return the one of the val split."""
    converter = importlib.import_module("tools.data_converter.nuscenes_converter")
    converter.create_nuscenes_infos(str(root), str(out), str(root), "nuscenes", version=version)
    return out / "nuscenes_infos_temporal_val.pkl"


def _build(root: Path, infos: Path, seed: int) -> Any:
    """Return upstream's test dataset over `infos`, and its seeded model in eval mode."""
    from mmcv import Config
    from mmdet3d.datasets import build_dataset
    from mmdet3d.models import build_model

    config = Config.fromfile(CONFIG)
    importlib.import_module("projects.mmdet3d_plugin")  # registers upstream's classes
    config.data.test.update(test_mode=True, data_root=f"{root}/", ann_file=str(infos))
    config.model.update(pretrained=None, train_cfg=None)
    model = build_model(config.model, test_cfg=config.get("test_cfg"))
    model.load_state_dict(seeded_state_dict(seed), strict=True)
    return build_dataset(config.data.test), model.eval()


def _detect(dataset: Any, model: Any) -> Any:
    """Run every sample in upstream's order; return the golden arrays and upstream's own results."""
    from mmcv.parallel import collate

    raw: Dict[str, torch.Tensor] = {}
    model.pts_bbox_head.register_forward_hook(lambda _module, _inputs, output: raw.update(output))
    arrays: Arrays = {}
    results: List[Any] = []
    tokens, scenes, hashes = [], [], []
    for index in range(len(dataset)):
        batch = collate([dataset[index]], samples_per_gpu=1)
        metas = batch["img_metas"][0].data[0]
        arrays[f"can_bus_{index}"] = metas[0]["can_bus"].copy()  # forward_test overwrites it
        arrays[f"lidar2img_{index}"] = np.stack(metas[0]["lidar2img"])
        with torch.no_grad():
            result = model(
                return_loss=False, rescale=True, img=batch["img"][0].data, img_metas=[metas]
            )
        results.extend(result)
        arrays.update(_arrays(index, raw, result[0]["pts_bbox"]))
        tokens.append(metas[0]["sample_idx"])
        scenes.append(metas[0]["scene_token"])
        hashes.append(_image_hashes(dataset.data_infos[index]))
    arrays.update(
        tokens=np.array(tokens), scene_tokens=np.array(scenes), image_sha256=np.array(hashes)
    )
    return arrays, results


def _arrays(index: int, raw: Dict[str, torch.Tensor], detections: Any) -> Arrays:
    """Return the last decoder layer's raw outputs and the decoded detections of one sample."""
    return {
        f"all_cls_scores_{index}": raw["all_cls_scores"][-1].numpy(),
        f"all_bbox_preds_{index}": raw["all_bbox_preds"][-1].numpy(),
        f"boxes_{index}": detections["boxes_3d"].tensor.numpy(),
        f"scores_{index}": detections["scores_3d"].numpy(),
        f"labels_{index}": detections["labels_3d"].numpy(),
    }


def _image_hashes(info: Dict[str, Any]) -> List[str]:
    paths = [Path(info["cams"][camera]["data_path"]) for camera in CAMERAS]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def _perturbed(dataset: Any) -> Dict[str, Any]:
    """Return the true boxes of each sample with seeded noise, some lost and some misnamed."""
    noise = np.random.Generator(np.random.PCG64(0))
    out = {}
    for index, info in enumerate(dataset.data_infos):
        truth = dataset.get_ann_info(index)
        boxes = truth["gt_bboxes_3d"].tensor.numpy()
        kept = noise.random(len(boxes)) > LOST
        boxes = np.nan_to_num(boxes + SPREAD * noise.standard_normal(boxes.shape)).astype(
            np.float32
        )
        boxes[:, 3:6] = np.maximum(boxes[:, 3:6], 0.1)
        labels = truth["gt_labels_3d"]
        labels = np.where(noise.random(len(labels)) < MISTAKEN, (labels + 1) % 10, labels)
        scores = noise.random(len(labels)).astype(np.float32)
        columns = {"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]}
        out[info["token"]] = {name: column.tolist() for name, column in columns.items()}
    return out


def _as_results(dataset: Any, detections: Dict[str, Any]) -> List[Any]:
    """Return detections in the form that upstream's model returns them in."""
    from mmdet3d.core import bbox3d2result
    from mmdet3d.core.bbox import LiDARInstance3DBoxes

    results = []
    for info in dataset.data_infos:
        found = detections[info["token"]]
        boxes = LiDARInstance3DBoxes(torch.tensor(found["boxes"]), box_dim=9)
        scores, labels = torch.tensor(found["scores"]), torch.tensor(found["labels"])
        results.append({"pts_bbox": bbox3d2result(boxes, scores, labels)})
    return results


def _judge(dataset: Any, results: List[Any], root: Path, version: str) -> Any:
    """Return upstream's submission of `results`, and what nuscenes-devkit's own scorer says."""
    from nuscenes import NuScenes
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.evaluate import DetectionEval

    with tempfile.TemporaryDirectory() as scratch:
        files, _ = dataset.format_results(results, jsonfile_prefix=scratch)
        nusc = NuScenes(version, str(root), verbose=False)
        rules = config_factory("detection_cvpr_2019")
        judge = DetectionEval(
            nusc, rules, files["pts_bbox"], EVAL_SETS[version], scratch, verbose=False
        )
        metrics: Dict[str, Any] = judge.evaluate()[0].serialize()
        submission = json.loads(Path(files["pts_bbox"]).read_text())["results"]
    del metrics["eval_time"], metrics["cfg"]
    return submission, _without_nan(metrics)


def _without_nan(value: Any) -> Any:
    """Return `value` with None for NaN (errors that a class has not), which JSON has not."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, sort_keys=True, allow_nan=False) + "\n")


def _versions() -> Dict[str, str]:
    found = {name: importlib.import_module(name).__version__ for name in PACKAGES}
    found.update(
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        cv2=cv2.__version__,
    )
    return found


if __name__ == "__main__":
    main()
