"""The list of methods."""

import pytest
from absl import flags

from launch import methods
from ldl_jax.methods import METHODS
from ldl_jax.run.command import parse_flags


def test_every_method_is_listed_with_its_defaults(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "220")
    methods.main(["methods"])
    printed = capsys.readouterr().out
    for name in METHODS:
        assert f"\n{name} " in printed
    assert "lam=4.0" in printed
    assert "stages=(3, 3, 3)" in printed
    assert "alpha=1.0, decode='expectation', transfer_alpha=0.5" in " ".join(printed.split())


def test_it_takes_no_arguments(capsys):
    flags.FLAGS.unparse_flags()
    with pytest.raises(SystemExit):
        methods.main(parse_flags(["methods", "cen"]))
    assert capsys.readouterr().err.startswith("error: unknown arguments: cen")
