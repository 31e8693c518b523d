import pytest

from tests import readme


@pytest.mark.parametrize("name", sorted(readme.GENERATED))
def test_generated_blocks_are_current(name: str) -> None:
    assert readme.block(name) == readme.GENERATED[name](), "run `make docs`"
