"""Lists that people write and pins that pip-compile writes."""

import pytest

from builder.domain.requirement_files import Pin, names, pins, render
from builder.errors import DataError
from tests.unit.lock_examples import digest

COMPILED = """\
Numpy==1.26.4
    # via
    #   -r runtime.in
    #   scipy
torch[opt]==2.13.0+cpu
    # via -c constraints.txt

# The following packages are considered to be unsafe in a requirements file:
setuptools==80.10.2 \\
    --hash=sha256:{b} \\
    --hash=sha256:{a}
""".format(a=digest("a"), b=digest("b"))


def test_names_drop_comments_and_fill_in_the_python() -> None:
    text = "# why\npython{python}-dev\n\nyapf==0.40.1  # later ones break\n"
    assert names(text, python="3.11") == ("python3.11-dev", "yapf==0.40.1")


def test_pins_of_a_compiled_layer() -> None:
    assert pins(COMPILED) == (
        Pin(name="numpy", version="1.26.4", hashes=(), via=("-r runtime.in", "scipy")),
        Pin(name="setuptools", version="80.10.2", hashes=(digest("a"), digest("b"))),
        Pin(name="torch", version="2.13.0+cpu", hashes=(), via=("-c constraints.txt",)),
    )


@pytest.mark.parametrize("line", ["numpy>=1", "numpy", "numpy @ https://github.com/x", "-e ."])
def test_what_is_no_pin_is_refused(line: str) -> None:
    with pytest.raises(DataError, match="is not a pin of the form name==version"):
        pins(line)


def test_rendered_pins_read_back() -> None:
    layer = (
        Pin(name="a", version="1", hashes=(digest("a"),), via=("b", "requirements/torch.in")),
        Pin(name="b", version="2", hashes=(digest("b"),)),
    )
    text = render(reversed(layer))
    assert text == (
        f"a==1 \\\n    --hash=sha256:{digest('a')}\n    # via b, requirements/torch.in\n"
        f"b==2 \\\n    --hash=sha256:{digest('b')}\n"
    )
    assert [pin.hashes for pin in pins(text)] == [pin.hashes for pin in layer]
