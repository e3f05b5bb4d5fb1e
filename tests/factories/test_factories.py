"""What a user brings along is told by its name, imported and called."""

import subprocess
import sys
from pathlib import Path

import pytest

from ldl_jax import factories, methods, models

CODE = """
from ldl_jax import methods

number = 3

def part(space, weight, steps=2, *more, **others):
    return space, weight, steps, others

def strict(weight, steps=2):
    if weight < 0:
        raise KeyError(weight)
    return weight * steps

def method(space, **settings):
    return methods.cen(space, **settings)

def network(width=8, **others):
    return width
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "my_factories.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_factories", None)


def call(name, given, options, **more):
    factory = factories.imported("part.name", f"my_factories:{name}", "factory(...)")
    return factories.call("part.name", name, factory, given, options, "part.", **more)


def test_a_factory_is_given_what_it_takes_and_its_options():
    assert call("part", {"space": 1, "counts": 2}, {"weight": 3, "other": 4}) == (
        1, 3, 2, {"other": 4}
    )  # fmt: skip
    assert call("strict", {"space": 1}, {"weight": 3}) == 6


def test_parameters_have_their_defaults():
    part = factories.imported("part.name", "my_factories:part", "factory(...)")
    none = factories.NO_DEFAULT
    assert factories.parameters(part) == {"space": none, "weight": none, "steps": 2}
    assert factories.parameters(dict.fromkeys) in ({}, {"iterable": none, "value": None})
    assert factories.parameters(print).keys() >= {"sep"}


def test_all_faults_of_the_options_are_said_at_once():
    with pytest.raises(ValueError, match=r"part\.rate: 'strict' has no such option; its: ") as told:
        call("strict", {"space": 1}, {"rate": 1, "space": 2})
    assert "part.space: the program gives 'strict' this itself" in str(told.value)
    assert "part.weight: 'strict' has no default for it, give it" in str(told.value)
    with pytest.raises(ValueError, match=r"part\.name: 'strict' must have a parameter named space"):
        call("strict", {"space": 1}, {"weight": 1}, required=("space",))


def test_an_error_of_a_factory_names_its_line():
    with pytest.raises(ValueError, match=r"raised KeyError: -1 \(my_factories\.py:11\)$"):
        call("strict", {}, {"weight": -1})


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_module:f", r"x: cannot import .*ModuleNotFoundError.*; looked for it in "),
        ("my_factories:nothing", "x: cannot import .*AttributeError"),
        ("my_factories:number", r"x: 'my_factories:number' is not callable, expected f\(\)"),
    ],
)
def test_what_cannot_be_imported(name, says):
    with pytest.raises(ValueError, match=says):
        factories.imported("x", name, "f()")


def test_a_methods_and_a_networks_other_arguments_are_no_options():
    """`**settings` of a signature is no hyper-parameter that must be given."""
    assert methods.hyper_parameters("my_factories:method") == {}
    assert models.known_options("my_factories:network") == {"width": 8}


def test_no_jax_is_loaded():
    program = "import sys; from ldl_jax import factories; print('jax' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False"]
