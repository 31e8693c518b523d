"""The only reader of the process environment."""

import os
from collections.abc import Mapping


def variables() -> Mapping[str, str]:
    """Return a copy of the environment as it stands."""
    return dict(os.environ)


def variable(name: str, default: str = "") -> str:
    """Return one variable, or `default` where it is unset."""
    return os.environ.get(name, default)
