"""Sweeps: the runs of a grid, their names, which belong together, and what is wrong with one."""

import json

import pytest

from ldl_jax import methods
from ldl_jax.run import config as schema
from ldl_jax.run import sweep
from ldl_jax.run.config import ConfigError


def make(*grids, **changes):
    config = schema.defaults()
    config.method.name = changes.pop("method", "cen")
    for key, value in changes.items():
        config[key] = value
    config.sweep = grids[0] if len(grids) == 1 else grids
    return schema.parse(config)


def names(*grids, **changes):
    return [point.name for point in sweep.points(make(*grids, **changes))]


def grouped(*grids, **changes):
    points = sweep.points(make(*grids, **changes))
    return [[point.name for point in group] for group in sweep.groups(points)]


def test_a_grid_is_every_value_with_every_other():
    points = sweep.points(make({"method.lam": (0.5, 2.0), "seed": (0, 1)}, epochs=7))
    assert [p.name for p in points] == [
        "lam=0.5,seed=0",
        "lam=0.5,seed=1",
        "lam=2,seed=0",
        "lam=2,seed=1",
    ]
    for point in points:
        assert point.config.method.hyper_parameters == {"lam": point.values["method.lam"]}
        assert point.config.seed == point.values["seed"]
        assert point.config.epochs == 7
        assert point.config.sweep == ()


def test_a_run_of_a_sweep_is_kept_as_the_run_alone():
    (point,) = sweep.points(make({"method.lam": 2.0}, replicas="together"))
    config = schema.defaults()
    config.method.lam = 2.0
    alone = schema.to_dict(schema.parse(config))
    assert json.dumps(schema.to_dict(point.config)) == json.dumps(alone)
    assert "sweep" not in alone
    assert "replicas" not in alone


def test_several_grids_follow_one_another():
    assert names({"method.lam": (1.0, 2.0)}, {"data.space": ("0:4:100",), "seed": 3}) == [
        "lam=1",
        "lam=2",
        "space=0-4-100,seed=3",
    ]


def test_names_are_a_folders():
    assert names({"model.name": "resnet18_tiny", "method.name": "dex"}) == [
        "model.name=resnet18_tiny,method.name=dex"
    ]
    assert names({"data.root": "/a b/../c", "method.scale_by_temperature_squared": True}) == [
        "root=a-b-..-c,scale_by_temperature_squared=True"
    ]


def test_runs_that_differ_in_seed_fold_and_numbers_are_one_group():
    numbers = {"method.lam": (1.0, 2.0), "optimizer.learning_rate": 0.1, "seed": (0, 1)}
    assert len(grouped(numbers, {"data.fold": (0, 1), "method.alpha": 0.1})) == 1
    assert grouped({"method.lam": (1.0, 2.0), "batch_size": (8, 16)}) == [
        ["lam=1,batch_size=8", "lam=2,batch_size=8"],
        ["lam=1,batch_size=16", "lam=2,batch_size=16"],
    ]
    # A default that is written out is the same number.
    assert len(grouped({"method.lam": 4.0}, {"method.alpha": 0.5})) == 1


def test_the_numbers_of_a_group_are_those_in_which_it_differs():
    points = sweep.points(
        make({"method.lam": (1.0, 2.0), "method.alpha": 0.1}, {"seed": 1, "method.alpha": 0.1})
    )
    assert sweep.numbers(points) == [{"method.lam": x} for x in (1.0, 2.0, 4.0)]
    assert sweep.numbers(points[:1]) == [{}]


def test_what_decides_the_program_is_no_number_of_it():
    assert len(grouped({"method.sigma": (0.0, 1.0)}, method="regression_l1")) == 2
    assert len(grouped({"method.sigma": (1.0, 2.0)}, method="dldl")) == 1
    assert len(grouped({"optimizer.every": (1.0, 2.0)})) == 2
    assert len(grouped({"method.stages": (((3, 3, 3)), ((2, 2)))}, method="ssr")) == 2
    for name in methods.METHODS:
        config = sweep.points(make({"seed": 0}, method=name))[0].config
        for key, value in methods.hyper_parameters(name).items():
            if not isinstance(value, float):
                assert not sweep.traceable(config, f"method.{key}")


def test_settings_are_compared_without_seeds():
    config = make({"method.lam": (1.0, 4.0), "seed": (0, 1)}, {"method.alpha": 0.1, "seed": 0})
    points = sweep.points(config)
    settings = [sweep.setting(point.config, points) for point in points]
    assert settings[0] == settings[1] == {"method.lam": 1.0, "method.alpha": 0.5}
    assert settings[4] == {"method.lam": 4.0, "method.alpha": 0.1}
    assert sweep.setting(config, points) == settings[2]


@pytest.mark.parametrize(
    ("grids", "words"),
    [
        (({"method.lamb": (1.0,)},), ["method.lamb", "cen", "lam, alpha"]),
        (({"method.lam": ("a",)},), ["method.lam", "'a'"]),
        (({"method.alpha": (0.1, 2.0)},), ["method.alpha", "2.0"]),
        (({"optimizer.learning_rate": (0.1, -1.0)},), ["optimizer.learning_rate", "-1.0"]),
        (({"epochs": (2.5,)},), ["epochs", "2.5"]),
        (({"epoch": (2,)},), ["epoch: unknown key", "epochs"]),
        (({"data.nothing.x": (2,)},), ["data.nothing: unknown key"]),
        (({"seed.x": (2,)},), ["seed.x", "seed has none below it"]),
        (({"seed": ()},), ["seed", "one value or more"]),
        (({"seed": (1, 1)},), ["seed=1", "once"]),
        (({"seed": (0, 1)}, {"seed": 0}), ["seed=0", "once"]),
        ((5,), ["sweep", "dotted key", "5"]),
        ((({"seed": 1}, 7),), ["sweep", "7"]),
    ],
)
def test_bad_sweeps(grids, words):
    with pytest.raises(ConfigError) as caught:
        names(*grids)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_together_names_the_option_in_the_way():
    sweep.check_together(sweep.points(make({"method.lam": (1.0, 2.0), "seed": (0, 1)})))
    for key, values in (
        ("batch_size", (8, 16)),
        ("model.name", ("resnet18", "resnet10")),
        ("data.space", ("0:1:100", "0:2:100")),
        ("method.name", ("dex", "cen")),
    ):
        with pytest.raises(ConfigError, match=f"runs that differ in {key} cannot be one program"):
            sweep.check_together(sweep.points(make({key: values})))


def test_replicas_is_one_of_three():
    with pytest.raises(ConfigError, match="replicas: expected one of auto, together, one_by_one"):
        make({"seed": 0}, replicas="both")
