"""Many seeded faults and cuts: the long form of tests/unit/adapters/test_download.py."""

from pathlib import Path

import pytest

from builder.adapters.storage.store import Store
from tests.unit.adapters.network.test_download import check_cuts, check_seeds

SEEDS = 1_000
OFFSETS = 100


def test_a_thousand_seeded_faults(tmp_path: Path) -> None:
    failed = check_seeds(range(10_000, 10_000 + SEEDS), tmp_path / "store")
    assert 0 < failed < SEEDS / 3


@pytest.mark.parametrize("size", [1_000, 100_000, 700_000])
def test_a_hundred_cuts_of_each_size(size: int, tmp_path: Path) -> None:
    check_cuts(size, range(OFFSETS), Store(tmp_path / "store"))
