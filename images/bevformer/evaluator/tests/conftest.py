"""Fixtures: the synthetic scenes, written once for all tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, Tuple

import pytest

from bevformer_eval.cli import main

Run = Callable[..., Tuple[int, str, str]]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the two default scenes of three samples; do not change them."""
    from bevformer_eval.data.synthetic import write_scenes

    root = tmp_path_factory.mktemp("nuscenes")
    write_scenes(root)
    return root


@pytest.fixture
def data(pristine: Path, tmp_path: Path) -> Path:
    """Return a copy of the scenes to break."""
    root = tmp_path / "data"
    shutil.copytree(pristine, root)
    return root


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, stdout, stderr."""

    def call(*words: object) -> Tuple[int, str, str]:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
