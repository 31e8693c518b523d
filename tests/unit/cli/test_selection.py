"""The options that choose a cell, read from words to a selection."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pytest

from builder.cli import selection
from builder.errors import UsageError


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    selection.add_cell_options(parser)
    return parser.parse_args(words)


@pytest.fixture(autouse=True)
def a_host_without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    for name, text in (("GPU", "none"), ("ISA", "x86-64-v3"), ("WSL", "0")):
        monkeypatch.setenv(f"CELLAR_OVERRIDE_{name}", text)


@pytest.mark.parametrize(
    ("words", "variant", "arch_list"),
    [
        pytest.param([], "cpu", "", id="nothing"),
        pytest.param(["--cell", "", "--cuda", "", "--gpu", "", "--isa", ""], "cpu", "", id="empty"),
        pytest.param(["--cuda", "11.1"], "cu111", "6.0;7.0;7.5;8.0;8.6", id="cuda"),
        pytest.param(["--gpu", "9.0,8.6,8.6"], "cu130-sm86_90", "8.6;9.0", id="gpus"),
        pytest.param(["--gpu", "8.6;9.0"], "cu130-sm86_90", "8.6;9.0", id="gpus-as-torch-writes"),
        pytest.param(["--gpu", "8.6", "--gpu", "9.0"], "cu130-sm86_90", "8.6;9.0", id="gpu-twice"),
        pytest.param(["--isa", "x86-64-v3"], "cpu-x86-64-v3", "", id="isa"),
        pytest.param(["--isa", "x86-64-v2"], "cpu", "", id="the-cells-own-isa"),
    ],
)
def test_words_select(words: Sequence[str], variant: str, arch_list: str) -> None:
    found = selection.select(parse(words))
    assert (found.variant, found.arch_list) == (variant, arch_list)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--cuda", "eleven"], "'eleven' is not a CUDA version", id="cuda"),
        pytest.param(["--isa", "v3"], "ISA level 'v3' is unknown", id="isa"),
        pytest.param(["--gpu", "8.6,"], "'' is not a compute capability", id="gpu"),
    ],
)
def test_words_that_cannot_be_read_are_refused(words: Sequence[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        selection.select(parse(words))
    assert str(caught.value) == message
