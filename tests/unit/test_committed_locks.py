"""The locks of this checkout: fit for their cells, canonical, private to nobody, complete."""

import json
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builder.adapters import files
from builder.cli import wiring
from builder.domain.leaks import leaks
from builder.domain.lock_files import DOCUMENTS, REBUILDS, dump
from builder.domain.lockfile import Lock
from builder.domain.matrix import Cell, DebianBase
from builder.domain.tables import IsaFloor
from tests.unit.lock_examples import IMAGES, MATRIX

ASSEMBLED = [cell for cell in MATRIX.cells if isinstance(cell.base, DebianBase)]


def lock_of(cell: Cell) -> Lock:
    return wiring.lock("bevformer", cell)


@pytest.mark.parametrize("cell", MATRIX.cells, ids=lambda cell: cell.id)
def test_a_lock_is_fit_and_canonical(cell: Cell) -> None:
    texts = files.texts_of(wiring.lock_folder("bevformer", cell))
    assert dict(dump(lock_of(cell))) == dict(texts)
    assert leaks(texts) == ()


@pytest.mark.parametrize("cell", ASSEMBLED, ids=lambda cell: cell.id)
def test_an_assembled_cell_lacks_nothing_but_its_git_sources(cell: Cell) -> None:
    lock = lock_of(cell)
    assert {row.channel for row in lock.unlocked} <= {"git"}
    assert not [artifact.filename for artifact in lock.artifacts() if artifact.quoted]


def test_the_default_cell_lacks_nothing() -> None:
    assert lock_of(MATRIX.cell("cpu")).unlocked == ()


@pytest.mark.parametrize("cell", ASSEMBLED, ids=lambda cell: cell.id)
def test_the_evaluator_finds_all_that_it_asks_for(cell: Cell) -> None:
    project = ConfigParser()
    project.read(IMAGES / "bevformer" / "evaluator" / "setup.cfg")
    locked = {
        canonicalize_name(one.name): one.version
        for layer in lock_of(cell).pip
        for one in layer.artifacts
    }
    for line in project["options"]["install_requires"].split():
        asked = Requirement(line)
        if asked.marker is None or asked.marker.evaluate({"python_version": str(cell.python)}):
            version = locked.get(canonicalize_name(asked.name))
            assert version is not None, line
            assert asked.specifier.contains(version, prereleases=True), line


@pytest.mark.parametrize("floor", MATRIX.tables.isa_floors, ids=str)
def test_what_keeps_a_cell_from_lower_levels_is_in_its_lock(floor: IsaFloor) -> None:
    for name in floor.cells:
        locked = {one.sha256: one for one in lock_of(MATRIX.cell(name)).artifacts()}
        held = locked.get(floor.sha256)
        assert held is not None, f"{name} holds another {floor.distribution}: audit that one anew"
        assert (held.name, held.version) == (floor.distribution, str(floor.version))


@pytest.mark.parametrize(
    "cell", [cell for cell in MATRIX.cells if cell.proven], ids=lambda cell: cell.id
)
def test_the_lowest_level_of_a_cell_is_what_its_passport_calls_proven(cell: Cell) -> None:
    assert cell.proven is not None
    passport = json.loads((IMAGES / "bevformer" / cell.proven.evidence).read_text())
    assert (passport["sealed"]["cell"], passport["proven"]["isa"]) == (
        cell.id,
        str(cell.proven.isa),
    )
    lock_of(cell).rebuilding(MATRIX.tables.rebuilds(cell.id, cell.proven.isa))


@pytest.mark.parametrize("cell", ASSEMBLED, ids=lambda cell: cell.id)
def test_an_image_shows_nothing_on_a_screen(cell: Cell) -> None:
    names = {artifact.name for artifact in lock_of(cell).artifacts()}
    assert "opencv-python-headless" in names
    assert not names & {"opencv-python", "opencv-contrib-python", "jupyter", "libgl1", "notebook"}


def test_the_schema_knows_every_file_and_is_closed() -> None:
    schema = json.loads((Path(files.__file__).parents[1] / "schemas/lock.schema.json").read_text())
    assert set(schema["properties"]) == {*DOCUMENTS, REBUILDS}
    assert set(schema["required"]) == set(DOCUMENTS)
    objects = [schema, *schema["properties"].values(), schema["$defs"]["artifact"]]
    assert all(row["additionalProperties"] is False for row in objects)
