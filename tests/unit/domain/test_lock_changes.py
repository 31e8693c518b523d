"""What people are told about a new lock."""

from dataclasses import replace

from builder.domain.lock_changes import changes
from tests.unit.lock_examples import LOCK, digest, layer, wheel


def test_changes_name_what_came_went_and_changed() -> None:
    new = replace(
        LOCK,
        debs={
            "essential": (replace(LOCK.debs["essential"][0], sha256=digest("9")),),
            "base": (),
        },
        pip=(
            LOCK.pip[0],
            layer(
                "runtime",
                wheel("tqdm", "5", "tqdm-5-py3-none-any.whl", "7"),
                wheel("fire", "1", "fire-1-py3-none-any.whl", "8"),
            ),
            replace(
                LOCK.pip[2],
                artifacts=(replace(LOCK.pip[2].artifacts[0], filename="pip-26.3-1-py3.whl"),),
            ),
        ),
        sources=(replace(LOCK.sources[0], size=31),),
    )
    assert changes(LOCK, new) == (
        "~ dpkg (deb) 1:1.0-1: other bytes",
        "+ fire (wheel) 1",
        "~ mmcv-full (sdist) 1.7.2: other details",
        "~ pip (wheel) pip-26.3-py3-none-any.whl -> pip-26.3-1-py3.whl",
        "- python3.11 (deb) 1:1.0-1",
        "~ tqdm (wheel) 4.70.1 -> 5",
    )


def test_nothing_changed_and_everything_new() -> None:
    assert changes(LOCK, LOCK) == ()
    assert len(changes(None, LOCK)) == len(LOCK.artifacts())
