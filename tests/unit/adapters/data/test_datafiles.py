"""The data files: canonical, sound, and every fault of a bad one named in one run."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from builder.adapters.data import datafiles
from builder.adapters.data.schemas import validator
from builder.adapters.data.yaml_files import canonical, header, read
from builder.domain.edits import Edit
from builder.errors import DataError, UsageError

IMAGES = Path(__file__).parents[4] / "images"
ASSETS = Path(__file__).parents[3] / "assets"
FILES = [*sorted(IMAGES.glob("*/*.yaml")), *sorted(ASSETS.glob("images/*/*.yaml"))]
FAULTS = yaml.safe_load((ASSETS / "data_file_faults.yaml").read_text())

Case = Mapping[str, object]


def cases(name: str) -> list[object]:
    return [pytest.param(case, id=case["id"]) for case in FAULTS[name]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the small image's folder, as `small/` in the working directory."""
    shutil.copytree(ASSETS / "images" / "small", tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    return Path("small")


def change(path: Path, edits: object) -> None:
    assert isinstance(edits, list)
    text = path.read_text()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_data_files_are_canonical(path: Path) -> None:
    text = path.read_text()
    assert text == header(text) + canonical(read(path).value), "run `cellar matrix --format`"


def objects(schema: object) -> list[Mapping[str, object]]:
    """Return every part of a schema that describes an object by its fields."""
    if isinstance(schema, Mapping):
        nested = [each for child in schema.values() for each in objects(child)]
        return [schema, *nested] if "properties" in schema and "type" in schema else nested
    if isinstance(schema, list):
        return [each for child in schema for each in objects(child)]
    return []


@pytest.mark.parametrize("name", ["matrix", "image", "edits", "cells", "doctor"])
def test_schemas_are_valid_and_closed(name: str) -> None:
    validator(name).check_schema(validator(name).schema)
    every = objects(validator(name).schema)
    still_open = [each for each in every if each.get("additionalProperties") is not False]
    # A cell's base is closed by the one of its two forms that `kind` names.
    closed_elsewhere = [{"kind": {"enum": ["debian", "registry"]}}] if name == "matrix" else []
    assert every
    assert [each["properties"] for each in still_open] == closed_elsewhere


def test_the_real_files_are_sound() -> None:
    matrix = datafiles.load_matrix(IMAGES / "bevformer" / "matrix.yaml")
    image = datafiles.load_image(IMAGES / "bevformer" / "image.yaml")
    ids = [cell.id for cell in matrix.cells]
    assert ids == ["cpu", "cu111", "cu112-standin", "cu118", "cu124", "cu130"]
    assert (image.name, image.epoch) == (matrix.image, 1690387578)


def test_the_real_edits_are_sound_and_name_the_commit() -> None:
    matrix = datafiles.load_matrix(IMAGES / "bevformer" / "matrix.yaml")
    image = datafiles.load_image(IMAGES / "bevformer" / "image.yaml")
    edits = datafiles.load_edits(IMAGES / "bevformer" / "edits.yaml", image, matrix)
    (made,) = (edit for edit in edits if not edit.count)
    assert f'version="0+{image.sources["bevformer"].commit[:12]}"' in made.replace
    assert {edit.source for edit in edits} == {
        "bevformer", "detectron2", "mmcv-full", "mmdet", "mmdet3d", "mmsegmentation",
        "numpy", "opencv-python-headless",
    }  # fmt: skip


@pytest.mark.parametrize("case", cases("matrix"))
def test_every_fault_of_a_matrix_is_named_in_one_run(folder: Path, case: Case) -> None:
    change(folder / "matrix.yaml", case["edits"])
    with pytest.raises(DataError) as caught:
        datafiles.load_matrix(folder / "matrix.yaml")
    assert str(caught.value).splitlines() == case["faults"]
    assert caught.value.hint == "correct the lines above and run it again"


@pytest.mark.parametrize("case", cases("image"))
def test_every_fault_of_an_image_is_named_in_one_run(folder: Path, case: Case) -> None:
    change(folder / "image.yaml", case["edits"])
    with pytest.raises(DataError) as caught:
        datafiles.load_image(folder / "image.yaml")
    assert str(caught.value).splitlines() == case["faults"]


@pytest.mark.parametrize("case", cases("texts"))
def test_what_is_no_yaml_is_refused(folder: Path, case: Case) -> None:
    (folder / "matrix.yaml").write_text(str(case["text"]))
    with pytest.raises(DataError) as caught:
        datafiles.load_matrix(folder / "matrix.yaml")
    found = str(caught.value).splitlines()
    missing = ["(and what is missing)"] if "is missing" in str(caught.value) else []
    assert [line for line in found if "is missing" not in line] + missing == case["faults"]


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    (folder / "image.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(DataError) as caught:
        datafiles.load_image(folder / "image.yaml")
    assert str(caught.value) == "small/image.yaml:1: the file has byte 6, which is not UTF-8"


def test_an_absent_file_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        datafiles.load_matrix(Path("nowhere/matrix.yaml"))
    assert str(caught.value) == "nowhere/matrix.yaml does not exist"


def test_a_file_elsewhere_is_named_by_its_whole_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = (folder / "matrix.yaml").absolute()
    path.write_text("[]\n")
    monkeypatch.chdir("/")
    with pytest.raises(DataError) as caught:
        datafiles.load_matrix(path)
    assert str(caught.value).startswith(f"{path.relative_to('/')}:1: the file must be a mapping")


@pytest.mark.parametrize(
    ("text", "written", "changed"),
    [
        pytest.param(
            "# kept\n#too\nname:   x # lost\nlist: [ {a: 1} ]\n",
            "# kept\n#too\nname: x\nlist:\n- {a: 1}\n",
            True,
            id="untidy",
        ),
        pytest.param("name: x\n", "name: x\n", False, id="canonical"),
    ],
)
def test_files_are_rewritten_canonically(
    tmp_path: Path,
    text: str,
    written: str,
    changed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert datafiles.format_file(path) is changed
    assert path.read_text() == written


def test_a_file_with_faults_of_yaml_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\na: 2\n")
    with pytest.raises(DataError, match="a stands twice"):
        datafiles.format_file(path)
    assert path.read_text() == "a: 1\na: 2\n"


EDITS = """\
schema: 1
edits:
- source: upstream
  file: pkg/a.py
  find: |-
    import a
    import b
  replace: import b
  count: 1
  why: a is gone
  until: upstream drops it
  cells: [cu111]
"""


def load_edits(folder: Path, text: str) -> tuple[Edit, ...]:
    (folder / "edits.yaml").write_text(text)
    image = datafiles.load_image(folder / "image.yaml")
    matrix = datafiles.load_matrix(folder / "matrix.yaml")
    return datafiles.load_edits(folder / "edits.yaml", image, matrix)


def test_edits_are_read_and_canonical(folder: Path) -> None:
    (found,) = load_edits(folder, EDITS)
    assert (found.file, found.find, found.cells) == ("pkg/a.py", "import a\nimport b", ("cu111",))
    assert not datafiles.format_file(folder / "edits.yaml")


def test_an_image_without_edits_has_none(folder: Path) -> None:
    image = datafiles.load_image(folder / "image.yaml")
    matrix = datafiles.load_matrix(folder / "matrix.yaml")
    assert datafiles.load_edits(folder / "edits.yaml", image, matrix) == ()


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        pytest.param(
            "file: pkg/a.py",
            "file: ../a.py",
            [
                (
                    "small/edits.yaml:4: edits[0].file must be a path inside the source, without"
                    " . or .., not '../a.py'"
                )
            ],
            id="outside",
        ),
        pytest.param(
            "  until: upstream drops it\n  cells: [cu111]\n",
            "  untl: never\n  cells: []\n",
            ["small/edits.yaml:11: edits[0].untl is no field here; did you mean until?"],
            id="mistyped",
        ),
        pytest.param(
            "cells: [cu111]",
            "cells: [cu112]",
            [
                (
                    "small/edits.yaml:12: edits[0].cells names 'cu112', no cell of the matrix;"
                    " did you mean cu111?"
                )
            ],
            id="cell",
        ),
        pytest.param(
            "source: upstream",
            "source: xyz",
            [
                (
                    "small/edits.yaml:3: edits[0].source is 'xyz', no source of the image;"
                    " known are detectron2, mmcv-full, mmdet3d, numpy, upstream"
                )
            ],
            id="source",
        ),
        pytest.param(
            "  find: |-\n    import a\n    import b\n",
            "  find: import b\n",
            [
                (
                    "small/edits.yaml:6: edits[0].replace is the text that is found:"
                    " nothing would change"
                )
            ],
            id="nothing-changes",
        ),
    ],
)
def test_every_fault_of_the_edits_is_named(
    folder: Path, old: str, new: str, faults: Sequence[str]
) -> None:
    assert old in EDITS
    with pytest.raises(DataError) as caught:
        load_edits(folder, EDITS.replace(old, new))
    assert str(caught.value).splitlines() == faults


ROWS: Sequence[object] = [
    pytest.param({"a": [1, 2], "b": {}}, "a: [1, 2]\nb: {}\n", id="short"),
    pytest.param({"a": ["x" * 40, "y" * 40]}, f"a:\n- {'x' * 40}\n- {'y' * 40}\n", id="long-list"),
    pytest.param(
        {"rows": [{"a": "x" * 100, "b": None}]},
        f"rows:\n- {{a: {'x' * 100}, b: null}}\n",
        id="row-of-a-table",
    ),
    pytest.param({"v": "11.1", "w": "1.2.3"}, "v: '11.1'\nw: 1.2.3\n", id="quotes"),
]


@pytest.mark.parametrize(("value", "text"), ROWS)
def test_the_canonical_form(value: dict[str, object], text: str) -> None:
    assert canonical(value) == text  # type: ignore[arg-type]
