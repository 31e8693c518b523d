"""The synthetic scenes: the same bytes everywhere, and a nuScenes that its own devkit accepts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from bevformer_eval.data.quaternion import product
from bevformer_eval.data.synthetic import file_list, write_scenes
from bevformer_eval.data.synthetic.exact import Pose, draw, matrix, unit
from bevformer_eval.errors import UsageError

# sha256 over path and content of every file of the default scenes. The golden detections were made
# from these bytes: a change here needs new golden data.
DEFAULT = "d4c85b148e6bf6bdcc266ffceab0b3d22cadc83fa786b18d35733d50826e0897"


def tree_digest(root: Path) -> str:
    digest = hashlib.sha256()
    for path in file_list(root):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def test_default_scenes_are_the_same_bytes_everywhere(pristine: Path) -> None:
    assert tree_digest(pristine) == DEFAULT


def test_another_seed_gives_other_scenes(tmp_path: Path, pristine: Path) -> None:
    write_scenes(tmp_path, seed=1, scenes=1, samples=1)
    poses = json.loads((tmp_path / "v1.0-mini" / "ego_pose.json").read_text())
    default = json.loads((pristine / "v1.0-mini" / "ego_pose.json").read_text())
    assert {row["token"] for row in poses}.isdisjoint(row["token"] for row in default)


def test_every_token_leads_to_a_row(pristine: Path) -> None:
    tables = {p.stem: json.loads(p.read_text()) for p in (pristine / "v1.0-mini").glob("*.json")}
    tokens = {name: {row["token"] for row in rows} for name, rows in tables.items()}
    assert len(tables) == 13
    loose = []
    for name, rows in tables.items():
        for row in rows:
            for field, value in row.items():
                target = {"prev": name, "next": name}.get(field)
                if target is None and field.endswith("_token"):
                    target = field[: -len("_token")]
                    target = {"first_sample": "sample", "last_sample": "sample"}.get(target, target)
                    target = target.replace("first_", "sample_").replace("last_", "sample_")
                if target and value and value not in tokens[target]:
                    loose.append((name, field, value))
    assert loose == []


def test_files_named_by_the_tables_exist(pristine: Path) -> None:
    rows = json.loads((pristine / "v1.0-mini" / "sample_data.json").read_text())
    assert len(rows) == 6 * 7
    assert [row["filename"] for row in rows if not (pristine / row["filename"]).is_file()] == []


def test_many_scenes_are_a_trainval(tmp_path: Path) -> None:
    assert write_scenes(tmp_path, scenes=3, samples=1) == "v1.0-trainval"
    names = [row["name"] for row in json.loads((tmp_path / "v1.0-trainval/scene.json").read_text())]
    assert names == ["scene-0003", "scene-0012", "scene-0013"]


@pytest.mark.parametrize(
    ("scenes", "samples"), [(0, 1), (1, 0), (151, 1)], ids=["no scene", "no sample", "too many"]
)
def test_impossible_requests_are_refused(tmp_path: Path, scenes: int, samples: int) -> None:
    with pytest.raises(UsageError):
        write_scenes(tmp_path / "new", scenes=scenes, samples=samples)
    assert not (tmp_path / "new").exists()


def test_pose_inverts_itself() -> None:
    pose = Pose(unit(3, 1, -2, 5), (10.0, -4.0, 2.0))
    assert pose.invert(pose.apply((1.5, 2.5, -3.5))) == pytest.approx((1.5, 2.5, -3.5))


def test_product_is_composition() -> None:
    a, b = unit(3, 1, -2, 5), unit(-1, 4, 1, 1)
    assert np.allclose(matrix(product(a, b)), np.array(matrix(a)) @ np.array(matrix(b)))


def test_draw_stays_in_its_range() -> None:
    found = {draw(-2, 2, "x", number) for number in range(200)}
    assert found == {-2, -1, 0, 1, 2}
