"""Upstream's model over upstream's dataset and test pipeline, one frame at a time."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from bevformer_eval.data import Sample
from bevformer_eval.data.frames import ahead
from bevformer_eval.data.nuscenes import Dataset, Scene
from bevformer_eval.output import storage_errors
from bevformer_eval.predict import Advance, Observer, SceneResult, check_finite, gpu_errors
from bevformer_eval.results import Boxes
from bevformer_eval.upstream import code
from bevformer_eval.upstream.images import Images
from bevformer_eval.upstream.infos import write_infos


class Frame(NamedTuple):
    """What upstream's model returns for a frame, and what it was fed."""

    boxes: Boxes
    output: Any  # the native model's Output: the last decoder layer's objects, and the BEV
    can_bus: np.ndarray  # (18,) before forward_test takes differences
    lidar2img: np.ndarray  # (6, 4, 4)


class Model:
    """Upstream's BEVFormer-tiny, called with what upstream's pipeline gives."""

    def __init__(self, module: Any, device: str) -> None:
        from mmcv.parallel import collate, scatter

        self._module, self._collate, self._scatter = module, collate, scatter
        self._gpu = int(device.partition(":")[2] or 0) if device.startswith("cuda") else None
        self._raw: Dict[str, Any] = {}
        module.pts_bbox_head.register_forward_hook(
            lambda _module, _inputs, output: self._raw.update(output)
        )

    def __call__(self, item: Any) -> Frame:
        """Detect the objects of one sample; the temporal state is upstream's own."""
        import torch

        meta = item["img_metas"][0].data
        can_bus = meta["can_bus"].copy()
        with gpu_errors(), torch.no_grad(), code.quiet():
            inputs = self._inputs(item)
            found = self._module(return_loss=False, rescale=True, **inputs)[0]["pts_bbox"]
        boxes = Boxes(
            found["boxes_3d"].tensor.cpu().numpy(),
            found["scores_3d"].cpu().numpy(),
            found["labels_3d"].cpu().numpy(),
        )
        return Frame(boxes, self._output(), can_bus, np.stack(meta["lidar2img"]))

    def _inputs(self, item: Any) -> Any:
        """Return a batch of one where the model is, as mmcv's MMDataParallel does."""
        batch = self._collate([item], samples_per_gpu=1)
        if self._gpu is not None:
            return self._scatter(batch, [self._gpu])[0]
        # On the CPU the scatter of mmcv 1.4 adds a dimension that later ones do not.
        return {name: [part.data[0] for part in parts] for name, parts in batch.items()}

    def _output(self) -> Any:
        """Return the raw outputs; the BEV is a copy, since the next frame turns it in place."""
        from bevformer_eval.model import Output

        return Output(
            self._raw["all_cls_scores"][-1],
            self._raw["all_bbox_preds"][-1],
            self._raw["bev_embed"].permute(1, 0, 2).clone(),
        )


class Items:
    """What upstream's dataset and test pipeline make of samples."""

    def __init__(self, settings: Any, dataset: Dataset, work_dir: Path) -> None:
        self._images = Images(dataset.source)
        infos = work_dir / "cache" / "upstream_infos.pkl"
        with storage_errors(infos):
            infos.parent.mkdir(parents=True, exist_ok=True)
        write_infos(dataset, self._images.place, infos)
        self._dataset = code.build_dataset(settings, dataset.source.name, infos)
        order = (info["token"] for info in self._dataset.data_infos)
        self._index = {token: index for index, token in enumerate(order)}

    def load(self, sample: Sample) -> Tuple[Any, float]:
        """Return one item, and the seconds it took."""
        start = time.perf_counter()
        with self._images.ready(sample):
            item = self._dataset[self._index[sample.token]]
        return item, time.perf_counter() - start


class UpstreamPredictor:
    """Evaluates scenes as upstream's test loop does, with threads in place of its processes."""

    def __init__(
        self, model: Model, items: Items, *, workers: int, observer: Optional[Observer] = None
    ) -> None:
        self._model, self._items = model, items
        self._workers, self._observer = workers, observer

    def predict(self, scenes: Sequence[Scene], advance: Advance) -> Iterator[SceneResult]:
        """Yield the detections of each scene."""
        samples = [sample for scene in scenes for sample in scene.samples]
        with closing(ahead(self._items.load, samples, self._workers)) as loaded:
            for scene in scenes:
                result = SceneResult(scene, [])
                for sample in scene.samples:
                    item, seconds = next(loaded)
                    result.seconds["load"] += seconds
                    self._detect(sample, item, result)
                    advance()
                yield result

    def _detect(self, sample: Sample, item: Any, result: SceneResult) -> None:
        start = time.perf_counter()
        frame = self._model(item)  # its boxes are on the CPU: the GPU has finished
        result.seconds["forward"] += time.perf_counter() - start
        result.boxes.append(frame.boxes)
        check_finite(sample, frame.output.cls_scores.cpu().numpy())
        check_finite(sample, frame.output.bbox_preds.cpu().numpy())
        if self._observer is not None:
            fed = replace(sample, can_bus=frame.can_bus, lidar2img=frame.lidar2img)
            self._observer(fed, frame.output, frame.boxes)
