"""Faults: how fields are named and what is suggested for a mistyped word."""

import pytest

from builder.domain.fault import FieldPath, did_you_mean, field_name


@pytest.mark.parametrize(
    ("where", "text"),
    [
        pytest.param((), "", id="the-file"),
        pytest.param(("image",), "image", id="top"),
        pytest.param(("cells", 1, "base", "digest"), "cells[1].base.digest", id="deep"),
    ],
)
def test_fields_are_named_as_people_write_them(where: FieldPath, text: str) -> None:
    assert field_name(where) == text


@pytest.mark.parametrize(
    ("word", "text"),
    [
        pytest.param("tourch", "; did you mean torch?", id="near"),
        pytest.param("xyzzy", "", id="far"),
    ],
)
def test_the_nearest_word_is_suggested(word: str, text: str) -> None:
    assert did_you_mean(word, {"torch", "cuda"}) == text
