"""`render`: the Dockerfile of every cell as the matrix has it."""

from collections.abc import Callable, Mapping

from builder.domain.isa import IsaLevel
from builder.domain.matrix import Matrix
from builder.domain.recipe import Recipe
from builder.domain.resolve import Selection


def golden(
    matrix: Matrix,
    recipe: Callable[[Selection], Recipe],
    dockerfile: Callable[[Recipe], str],
) -> Mapping[str, str]:
    """Return the Dockerfile of each selection of `golden_selections` by file name."""
    return {
        f"{one.variant}.Dockerfile": dockerfile(recipe(one)) for one in golden_selections(matrix)
    }


def golden_selections(matrix: Matrix) -> tuple[Selection, ...]:
    """Select each cell as the matrix has it, and at the lowest ISA level if that was proven."""
    return tuple(
        plain(matrix, cell.id, isa)
        for cell in matrix.cells
        for isa in dict.fromkeys((cell.isa, cell.proven.isa if cell.proven else cell.isa))
    )


def plain(matrix: Matrix, cell_id: str, isa: IsaLevel | None = None) -> Selection:
    """Select a cell exactly as the matrix has it, but for the level, whatever this host is."""
    cell = matrix.cell(cell_id)
    level = isa or cell.isa
    return Selection(
        image=matrix.image,
        cell=cell,
        isa=level,
        rebuilds=matrix.tables.rebuilds(cell.id, level),
        gpu_archs=cell.gpu_archs,
        ptx=cell.ptx,
        why="asked for",
    )
