"""Pictures: boxes lie on the objects that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Tuple

import cv2
import numpy as np
import pytest

from bevformer_eval.data import CAMERAS, CLASSES
from bevformer_eval.data.images import load_images
from bevformer_eval.data.nuscenes import Dataset, Request, load
from bevformer_eval.data.source import DirectorySource
from bevformer_eval.draw import corners_of, draw, write_png
from bevformer_eval.ground_truth import GroundTruth
from bevformer_eval.metrics import open_devkit
from bevformer_eval.results import Boxes

Run = Callable[..., Tuple[int, str, str]]
NONE = Boxes(np.zeros((0, 9)), np.zeros(0), np.zeros(0, np.int64))


@pytest.fixture(scope="module")
def dataset(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(DirectorySource(pristine), Request(), tmp_path_factory.mktemp("cache"))


def test_centres_of_boxes_lie_on_rendered_objects(dataset: Dataset, tmp_path: Path) -> None:
    """Every true box, projected by lidar2img, meets the colour that its class was rendered in."""
    truth = GroundTruth(open_devkit(dataset, tmp_path))
    hits, seen = 0, 0
    for scene in dataset.scenes:
        for sample in scene.samples:
            images, found = load_images(dataset.source, sample), truth.boxes(sample)
            centres = np.c_[corners_of(found.boxes).mean(1), np.ones(len(found.boxes))]
            for index in range(len(CAMERAS)):
                points = centres @ sample.lidar2img[index].T
                for (u, v, depth, _), label in zip(points, found.labels):
                    if depth < 1 or not (0 < u / depth < 800 and 0 < v / depth < 450):
                        continue
                    seen += 1
                    pixel = images[index][int(2 * v / depth), int(2 * u / depth)].astype(int)
                    grey = pixel.max() - pixel.min() < 25
                    hits += grey == (CLASSES[label] == "barrier")
    assert seen > 100
    assert hits / seen > 0.9  # the others stand behind a barrier, or are one


def test_corners_are_numbered_by_direction() -> None:
    # Heading along the lidar's y axis: yaw = -heading - pi/2 = -pi in mmdetection3d 0.17.1.
    (corners,) = corners_of(np.array([[1.0, 2.0, 3.0, 2.0, 4.0, 1.0, -np.pi, 0, 0]]))
    assert np.allclose(corners[0b100] - corners[0], [0, 4, 0])
    assert np.allclose(corners[0b010] - corners[0], [-2, 0, 0])
    assert np.allclose(corners[0b001] - corners[0], [0, 0, 1])
    assert np.allclose(corners.mean(0), [1, 2, 3.5])


def test_a_picture_holds_cameras_and_the_view_from_above(dataset: Dataset, tmp_path: Path) -> None:
    sample = dataset.scenes[0].samples[0]
    images = load_images(dataset.source, sample)
    true = GroundTruth(open_devkit(dataset, tmp_path)).boxes(sample)
    plain, boxes = (draw(images, sample.lidar2img, NONE, t) for t in (NONE, true))
    assert boxes.shape == (720, 2640, 3)
    changed = (plain != boxes).any(-1)
    assert changed[:, :1920].any()
    assert changed[:, 1920:].any()
    both = draw(images, sample.lidar2img, true, true)
    assert (both != boxes).any()
    write_png(tmp_path / "p.png", both)
    assert np.array_equal(cv2.imread(str(tmp_path / "p.png")), both)


def test_a_box_behind_every_camera_is_left_out(dataset: Dataset) -> None:
    sample = dataset.scenes[0].samples[0]
    images = np.zeros((6, 900, 1600, 3), np.uint8)
    inside = Boxes(np.array([[0, 0, -0.5, 0.1, 0.1, 0.1, 0, 0, 0]]), np.ones(1), np.zeros(1, int))
    lidar2img = sample.lidar2img.copy()
    lidar2img[:, 2, 3] -= 100.0  # all depths negative
    plain, found = (draw(images, lidar2img, NONE, t) for t in (NONE, inside))
    assert np.array_equal(plain[:, :1920], found[:, :1920])


def test_pictures_are_written_by_the_command(run: Run, pristine: Path, tmp_path: Path) -> None:
    code, _, err = run("--data", pristine, "--ground-truth", "--work-dir", tmp_path, "--show", "2")
    assert code == 0
    assert "2 pictures in" in err
    assert len(list((tmp_path / "pictures").glob("scene-0103-0*.png"))) == 2
