"""What the image says of itself: user, environment, labels, layers."""

import json

import pytest

from builder.commands.build import Order
from builder.domain.comparison import ImageFacts

from .conftest import Record

pytestmark = pytest.mark.level("L1")

_LAYER_LIMIT = 1 << 30
_SECRETS = ("proxy", "token", "password", "secret", "index_url", "netrc")


def test_user_and_working_directory(order: Order, facts: ImageFacts) -> None:
    image = order.recipe.image
    assert json.loads(facts.config["User"]) == f"{image.user}:{image.user}"
    assert json.loads(facts.config["WorkingDir"]) == image.workdir


def test_environment_is_the_recipes(order: Order, facts: ImageFacts) -> None:
    found = dict(row.split("=", 1) for row in json.loads(facts.config["Env"]))
    assert {name: found.get(name) for name in order.recipe.environment} == dict(
        order.recipe.environment
    )
    assert [name for name in found if any(word in name.lower() for word in _SECRETS)] == []


def test_labels_are_the_recipes(order: Order, facts: ImageFacts) -> None:
    found = json.loads(facts.config["Labels"])
    assert {name: found.get(name) for name in order.recipe.labels} == dict(order.recipe.labels)


def test_annotations_are_the_recipes(order: Order, facts: ImageFacts) -> None:
    wanted = order.recipe.annotations
    assert {name: facts.annotations.get(name) for name in wanted} == dict(wanted)


def test_no_layer_is_too_large_to_pull(facts: ImageFacts, record_property: Record) -> None:
    largest = max(facts.sizes)
    record_property("seen", f"{len(facts.sizes)} layers, the largest {largest / 1e6:.0f} MB")
    assert largest < _LAYER_LIMIT
