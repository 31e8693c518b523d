"""What all tests share: engine tests run only where they are asked for."""

import signal

import pytest


def pytest_configure() -> None:
    # A job that a shell starts in the background ignores SIGINT, and so would every test of Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-engine", action="store_true", help="run tests that need an engine")
    parser.addoption("--run-network", action="store_true", help="run tests that need mirrors")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for name in ("engine", "network"):
        if not config.getoption(f"--run-{name}"):
            mark = pytest.mark.skip(reason=f"asked for by --run-{name}")
            for item in items:
                if item.get_closest_marker(name):
                    item.add_marker(mark)
