"""Runs whose data, augmentation, optimizer and schedule a user brings along."""

import dataclasses
import json
import shutil
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from ldl_jax import workdir
from ldl_jax.run import (
    calibrating,
    experiment,
    identity,
    jobs,
    own_keys,
    resolved,
    sweep,
    sweeping,
)
from ldl_jax.run import config as schema
from ldl_jax.run.config import ConfigError
from ldl_jax.run.data import read_records
from ldl_jax.run.smoke import smoke
from ldl_jax.train import generations, programs
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.workdir import Workdir, WorkdirError

pytestmark = pytest.mark.usefixtures("tiny_network", "optax_promotes")
CODE = """
import jax, jax.numpy as jnp, numpy as np, optax
from ldl_jax.data.records import Records

def faces(root, least=0):
    paths = sorted(root.glob("*.png"))
    ages = [int(path.stem.split("_")[0]) for path in paths]
    kept = [i for i, age in enumerate(ages) if age >= least]
    return Records(
        "mine", [paths[i].name for i in kept], [ages[i] for i in kept],
        paths=[paths[i] for i in kept], subjects=[f"p{i // 2}" for i in kept],
    )

def arrays(seed=0, count=12, unit="years"):
    rng = np.random.default_rng(seed)
    return Records(
        f"drawn-{seed}", [f"s{seed}-{i}" for i in range(count)], np.arange(20, 20 + count),
        images=rng.integers(0, 256, (count, 40, 36, 3), np.uint8), unit=unit,
        split=["test" if i % 4 == 0 else "train" for i in range(count)],
    )

def darker(most=0.5):
    return lambda key, image: image * (1 - most * jax.random.uniform(key))

def signs(learning_rate, weight_decay=0.0, scale=1.0):
    return optax.chain(
        optax.scale_by_sign(), optax.add_decayed_weights(weight_decay), optax.scale(scale),
        optax.scale_by_learning_rate(learning_rate),
    )

def ramp(steps, learning_rate, low=0.1):
    return lambda step: learning_rate * (low + (1 - low) * step / steps)
"""
OWN = {
    "augment__name": "my_parts:darker",
    "augment__options": {"most": 0.3},
    "optimizer__name": "my_parts:signs",
    "optimizer__options": {"scale": 0.5},
    "optimizer__schedule": "my_parts:ramp",
    "optimizer__schedule_options": {"low": 0.5},
}


class Silent:
    """A watcher that shows nothing."""

    def __getattr__(self, name):
        return lambda *arguments: None


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of 12 pictures named by age; the module lies beside it."""
    modules, faces = tmp_path / "modules", tmp_path / "faces"
    modules.mkdir()
    faces.mkdir()
    (modules / "my_parts.py").write_text(CODE)
    monkeypatch.syspath_prepend(modules)
    rng = np.random.default_rng(0)
    for index in range(12):
        image = Image.fromarray(rng.integers(0, 256, (40, 36, 3), np.uint8))
        image.save(faces / f"{20 + index}_{index}.png")
    return faces


def make_config(**changes):
    config = schema.defaults()
    config.data.synthetic_count = 24
    config.data.size = 32
    config.model.name = "tiny"
    config.method.name = "dldl"
    config.batch_size = 4
    config.epochs = 2
    config.evaluation.batch_size = 4
    config.chain.generations = 1
    config.optimizer.weight_decay = 0.0
    for key, value in changes.items():
        *path, last = key.split("__")
        section = config
        for name in path:
            section = section[name]
        section[last] = value
    return schema.parse(config)


def of_folder(folder, **changes):
    of = {"data__name": "my_parts:faces", "data__root": str(folder), "data__protocol": "subject"}
    return make_config(**of | changes)


def build(config, **keywords):
    return experiment.build(config, lambda text: None, devices=1, **keywords)


def test_flags_give_the_options_and_the_config_keeps_them():
    given = {
        "data.options.least": "21",
        "augment.options.most": "0.3",
        "optimizer.options.scale": "0.5",
        "optimizer.schedule_options.low": "0.25",
        "stages.first.data.options.least": "22",
    }
    config = schema.defaults()
    config.stages.first = schema.defaults()
    for root in (config, config.stages.first):
        root.data.name, root.augment.name = "my_parts:faces", "my_parts:darker"
        root.optimizer.name, root.optimizer.schedule = "my_parts:signs", "my_parts:ramp"
    left, keys = own_keys.taken_out([f"--config.{key}={value}" for key, value in given.items()])
    assert left == []
    own_keys.put_in(config, keys)
    parsed = schema.parse(config)
    assert parsed.data.options == {"least": 21}
    assert parsed.augment.options == {"most": 0.3}
    assert parsed.optimizer.options == {"scale": 0.5}
    assert parsed.optimizer.schedule_options == {"low": 0.25}
    assert parsed.stages["first"].data.options == {"least": 22}
    kept = json.loads(json.dumps(schema.to_dict(parsed)))
    again = schema.from_dict(kept)
    assert dataclasses.replace(parsed, stages={}) == again
    for key in ("data.name", "data.options.least", "augment.options.most", "optimizer.options.x"):
        assert identity.changes_numbers(key)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("optimizer.options.b1", "optimizer.name='sgd'"),
        ("augment.options.width", "augment.name="),
        ("data.options.kidn", "data.name='synthetic'"),
        ("model.widht", "model.name="),
    ],
)
def test_an_option_of_a_built_in_that_has_none_such_names_both(key, name):
    config = schema.defaults()
    config.optimizer.name = "sgd"
    _, keys = own_keys.taken_out([f"--config.{key}=1"])
    with pytest.raises(ValueError, match=r"no such option; .* package\.module:factory") as caught:
        own_keys.put_in(config, keys)
    assert str(caught.value).startswith(f"--config.{key}: unknown key, {name}")


def test_an_option_that_no_file_can_keep_is_refused():
    with pytest.raises(ConfigError, match=r"augment\.options\.most: expected a number, .* ndarray"):
        make_config(augment__name="my_parts:darker", augment__options={"most": np.ones(2)})


def check(folder, config):
    """Resolves a run, and checks that a folder can take it."""
    resolved = experiment.resolve(config, 1)
    jobs.check_folder(folder, resolved)
    return resolved


def test_a_run_trains_goes_on_and_is_told_from_others(folder, tmp_path, monkeypatch):
    run, config = tmp_path / "run", of_folder(folder, **OWN)
    built = experiment.make(check(run, config), lambda text: None, None, run)
    assert built.job.optimizer.by_array
    assert programs.layout_of(built.job, programs.like(built.job)) is None
    steps = len(built.job.order(1))
    rates = [float(built.job.optimizer.learning_rate(step)) for step in range(steps)]
    np.testing.assert_allclose(rates, 1e-3 * (0.5 + 0.5 * np.arange(steps) / steps), rtol=1e-6)
    with Workdir(run, built.description) as opened:
        (row,) = generations.run(built.job, opened, Interrupt(), Silent())
    assert np.isfinite(row["mae"])
    saved = workdir.read_config(run)
    assert saved["data"]["name"] == "my_parts:faces"
    assert saved["augment"]["options"] == {"most": 0.3}
    check(run, config)
    for changes in (
        {"augment__options": {"most": 0.4}},
        {"optimizer__options": {"scale": 0.25}},
        {"optimizer__schedule": "cosine", "optimizer__schedule_options": {}},
    ):
        with pytest.raises(WorkdirError, match=r"holds another config's run \((augment|optimizer)"):
            check(run, of_folder(folder, **OWN | changes))
    with pytest.raises(WorkdirError, match=r"holds another config's run \(data\.options\.least"):
        check(run, of_folder(folder, **OWN, data__options={"least": 1}))
    monkeypatch.delitem(sys.modules, "my_parts")
    shutil.move(folder.parent / "modules/my_parts.py", folder.parent / "elsewhere.py")
    with pytest.raises(
        ValueError, match=r"^data\.name: cannot import .*; looked for it in .*modules"
    ):
        check(run, config)


def test_protocols_folds_the_audit_and_pictures_in_memory(folder):
    resolved = experiment.resolve(of_folder(folder, data__protocol="kfold", data__fold=1), 1)
    assert len(resolved.parts.test) in (2, 3)
    said = []
    drawn = make_config(
        data__name="my_parts:arrays", data__options={"count": 16}, data__crop=0.9, data__size=32
    )
    built = experiment.build(drawn, said.append, devices=1)
    assert any(text.startswith("no leak found") for text in said), said
    feed = built.feeds["train"]
    assert (len(feed.part), feed.part.picture(0).shape) == (12, (32, 32, 3))
    cross = make_config(
        data__name="my_parts:arrays",
        data__protocol="cross_dataset",
        data__test__name="my_parts:arrays",
        data__test__options={"seed": 1, "count": 8},
        data__size=32,
    )
    resolved = experiment.resolve(cross, 1)
    assert (len(resolved.parts.train), len(resolved.parts.test)) == (12, 8)
    assert smoke(cross).data.name == "synthetic"


def test_all_that_can_be_wrong_names_its_key(folder):
    for changes, says in (
        ({"data__options": {"most": 1}}, r"^data\.options\.most: .* no such option; its: least$"),
        ({"data__name": "my_parts:face"}, r"^data\.name: cannot import 'my_parts:face'"),
        (
            {"data__csv": "x.csv"},
            r"^data\.name: .* must have a parameter named csv; ",
        ),
        ({"data__options": {"least": 99}}, r"mine: lists no picture"),
        ({"augment__name": "my_parts:ramp"}, r"^augment\.options\.steps: .*no default for it"),
        (
            {"augment__options": {"most": 1}},
            r"^augment\.options\.most: is of a change of one's own",
        ),
        ({"optimizer__name": "my_parts:ramp"}, r"^optimizer\.options\.steps: .*no default"),
    ):
        with pytest.raises(ValueError, match=says):
            build(of_folder(folder, **changes))


def test_a_sweep_checks_a_change_once_and_another_change_too(folder, tmp_path, monkeypatch):
    checked = []
    resolved._check_change.cache_clear()
    monkeypatch.setattr(resolved.own_change, "check", lambda *change: checked.append(change))
    sizes = {"batch_size": 8, "evaluation__batch_size": 8}  # for the eight devices
    of = {**sizes, "augment__name": "my_parts:darker", "augment__options": {"most": (0.5,)}}
    seeds = of_folder(folder, **of, sweep={"seed": (0, 1, 2)})
    assert len(sweeping.check(seeds, tmp_path / "sweep", read_records).points) == 3
    assert checked == [("my_parts:darker", {"most": (0.5,)}, 32)]  # the options as they were given
    for options in ({"most": 1}, {"most": 1.0}):
        experiment.resolve(of_folder(folder, **of | {"augment__options": options}), 1)
    assert [options["most"] for _, options, _ in checked] == [(0.5,), 1, 1.0]
    resolved._check_change.cache_clear()


def test_learning_rates_of_one_s_own_optimizer_are_swept_in_one_program(folder):
    keys = {"optimizer.learning_rate": (1e-3, 3e-3), "seed": (0, 1)}
    config = of_folder(folder, **OWN, sweep=keys)
    (group,) = sweep.groups(sweep.points(config))
    assert len(group) == 4
    by_scale = of_folder(folder, **OWN, sweep={"optimizer.options.scale": (0.5, 1.0)})
    first, second = sweep.groups(sweep.points(by_scale))
    assert [point.config.optimizer.options["scale"] for (point,) in (first, second)] == [0.5, 1.0]
    built = build(group[0].config)
    rebuilt = experiment.rebuild(group[0].config, built.job)

    def updates(rate):
        _, transform = rebuilt({"optimizer.learning_rate": rate})
        params = {"head": jax.numpy.ones(2)}
        return transform.update(params, transform.init(params), params)[0]["head"]

    rates = jax.numpy.asarray([1e-3, 3e-3])
    np.testing.assert_allclose(
        jax.jit(jax.vmap(updates))(rates), -0.5 * 0.5 * rates[:, None] * np.ones((2, 2)), rtol=1e-6
    )


def test_a_run_s_folder_does_not_have_its_reader_run_without_consent(folder, tmp_path):
    config = of_folder(folder, data__validation_fraction=0.3)
    built = build(config)
    with Workdir(tmp_path / "run", built.description) as opened:
        for name, content in built.files.items():
            opened.keep(name, content)
    with pytest.raises(ValueError, match=r"its data\.name asks to import 'my_parts'.*--trust=my_p"):
        calibrating.validation_of(tmp_path / "run")
    part = calibrating.validation_of(tmp_path / "run", ("my_parts",))
    assert part.config.data.name == "my_parts:faces"
