"""`render`: the Dockerfile of every cell as the matrix has it."""

from collections.abc import Callable, Mapping

from builder.domain.matrix import Matrix
from builder.domain.recipe import Recipe
from builder.domain.resolve import Selection


def golden(
    matrix: Matrix,
    recipe: Callable[[Selection], Recipe],
    dockerfile: Callable[[Recipe], str],
) -> Mapping[str, str]:
    """Return the Dockerfile of each cell by file name, for its own ISA level and GPUs."""
    ids = [cell.id for cell in matrix.cells]
    return {f"{name}.Dockerfile": dockerfile(recipe(plain(matrix, name))) for name in ids}


def plain(matrix: Matrix, cell_id: str) -> Selection:
    """Select a cell exactly as the matrix has it, whatever this host is."""
    cell = matrix.cell(cell_id)
    return Selection(
        image=matrix.image,
        cell=cell,
        isa=cell.isa,
        gpu_archs=cell.gpu_archs,
        ptx=cell.ptx,
        why="asked for",
    )
