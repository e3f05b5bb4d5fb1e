"""The examples in the docstrings of the pure functions, run as doctests."""

import doctest
import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import (
    arrays,
    calibration,
    decoders,
    encodings,
    heads,
    labels,
    losses,
    methods,
    metrics,
)

# Every public name of these has an example.
EXPLAINED = ("labels", "heads", "encodings", "decoders", "losses", "metrics", "calibration")
PACKAGES = (*EXPLAINED, "methods", "arrays")
# The names that the packages' docstrings tell the reader to import.
IMPORTED = {
    "jax": jax,
    "jnp": jnp,
    "np": np,
    "AGE": labels.AGE,
    "LabelSpace": labels.LabelSpace,
    "arrays": arrays,
    "calibration": calibration,
    "decoders": decoders,
    "encodings": encodings,
    "heads": heads,
    "losses": losses,
    "methods": methods,
    "metrics": metrics,
}


def public(name):
    """The public objects of a package, or of a file its functions and `LabelSpace`, by name."""
    module = importlib.import_module(f"ldl_jax.{name}")
    if hasattr(module, "__all__"):
        objects = {name: getattr(module, name) for name in module.__all__}
        metric = metrics.Metric  # of the metrics package only these are explained by example
        return {k: x for k, x in objects.items() if name != "metrics" or isinstance(x, metric)}
    functions = inspect.getmembers(module, inspect.isfunction)
    objects = {key: x for key, x in functions if x.__module__ == module.__name__}
    if name == "labels":
        objects["LabelSpace"] = labels.LabelSpace
        for key in ("range", "groups", "parse", "contains"):
            objects[f"LabelSpace.{key}"] = getattr(labels.LabelSpace, key)
    return {key: x for key, x in objects.items() if not key.startswith("_")}


def example(name, x):
    doc = inspect.getdoc(x) or ""
    return doctest.DocTestParser().get_doctest(doc, IMPORTED, name, None, 0)


def failures(tests):
    """The reports of the examples that print something else."""
    reports = []
    runner = doctest.DocTestRunner(verbose=False)
    with np.printoptions(precision=3, suppress=True):
        for test in tests:
            runner.run(test, out=reports.append)
    return "".join(reports)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_examples(package):
    tests = [example(name, x) for name, x in public(package).items()]
    assert any(test.examples for test in tests)
    if package in EXPLAINED:
        assert not [test.name for test in tests if not test.examples]
    assert not failures(tests)


def test_an_example_that_is_wrong_is_found():
    def wrong():
        """Adds.

        >>> print(jnp.array([1.0, 2.0]))
        [1. 2.1]
        """

    assert "Expected:\n    [1. 2.1]\nGot:\n    [1. 2.]" in failures([example("wrong", wrong)])
