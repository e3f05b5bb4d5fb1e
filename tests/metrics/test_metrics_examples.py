"""The examples in the metrics' docstrings run, and every public metric has one."""

import doctest
import importlib
import pkgutil

import pytest

from ldl_jax import metrics

MODULES = [f"ldl_jax.metrics.{module.name}" for module in pkgutil.iter_modules(metrics.__path__)]
METRICS = [name for name in metrics.__all__ if isinstance(getattr(metrics, name), metrics.Metric)]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_an_example(name: str) -> None:
    metric = getattr(metrics, name)
    finder = doctest.DocTestFinder()
    module = importlib.import_module(metric.__module__)
    found = {test.name.rpartition(".")[2]: test.examples for test in finder.find(module)}
    assert any(f"metrics.{name}(" in example.source for example in found[name])
