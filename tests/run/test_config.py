"""The schema of a config: what is written is what is read, and every slip is named."""

import copy
import dataclasses
import importlib
import json
from pathlib import Path

import ml_collections
import pytest

from ldl_jax import methods
from ldl_jax.labels import LabelSpace
from ldl_jax.run.config import (
    RENAMED,
    Config,
    ConfigError,
    completed,
    defaults,
    parse,
    to_dict,
)

CONFIGS = sorted(p.stem for p in (Path(__file__).parents[2] / "configs").glob("[!_]*.py"))
WRONG = {  # values of another type than each, whatever its range
    bool: (1, "yes", None),
    int: (1.5, "3", True, None, [1]),
    float: ("0.1", True, None, [0.1]),
    str: (3, None, True, ["a"]),
    tuple: (0.5, (0.5,), (0.1, 0.2, 0.3, 0.4), ("a", "b", "c"), None),
}


def leaves(section=None, prefix=""):
    """(dotted key, default) of every field but the method's."""
    for key, value in (to_dict(Config()) if section is None else section).items():
        if key == "method":
            continue
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def changed(key, value):
    """The defaults with one key set, whatever its type, as a careless config file would."""
    content = defaults().to_dict()
    section = content
    *path, last = key.split(".")
    for name in path:
        section = section[name]
    section[last] = value
    return ml_collections.ConfigDict(content)


def test_defaults_parse_to_the_schemas_own():
    assert parse(defaults()) == Config()


def test_every_field_has_a_documented_meaning():
    for field in dataclasses.fields(Config):
        kind = type(getattr(Config(), field.name))
        described = Config.__doc__ if not dataclasses.is_dataclass(kind) else kind.__doc__
        if not dataclasses.is_dataclass(kind):
            assert f"{field.name}:" in described, field.name
        elif field.name != "method":
            for inner in dataclasses.fields(kind):
                assert f"{inner.name}:" in described, f"{field.name}.{inner.name}"


@pytest.mark.parametrize(("key", "default"), leaves())
def test_a_value_of_another_type(key, default):
    assert type(default) in WRONG
    for wrong in WRONG[type(default)]:
        if key in ("init.teachers", "log.to", "log.tags") and wrong == ("a", "b", "c"):
            continue  # three paths, names or tags
        if key == "evaluation.crops" and wrong in ((0.5,), (0.1, 0.2, 0.3, 0.4)):
            continue  # shares of a picture
        with pytest.raises(ConfigError) as caught:
            parse(changed(key, wrong))
        message = str(caught.value)
        assert message.startswith(f"{key}: expected"), message
        if not isinstance(wrong, (list, tuple)):
            assert repr(wrong) in message


def test_whole_numbers_do_for_floats():
    config = parse(changed("optimizer.learning_rate", 1))
    assert config.optimizer.learning_rate == 1.0
    assert isinstance(config.optimizer.learning_rate, float)
    assert parse(changed("augment.scale", [1, 1])).augment.scale == (1.0, 1.0)


SECTIONS = ["", *sorted({key.rpartition(".")[0] + "." for key, _ in leaves() if "." in key})]


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key(section):
    with pytest.raises(ConfigError) as caught:
        parse(changed(f"{section}sigam", 2.0))
    assert str(caught.value).startswith(f"{section}sigam: unknown key; known: ")
    for key, _ in leaves():
        if key.startswith(section) and "." not in key[len(section) :]:
            assert key[len(section) :] in str(caught.value)


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_of_a_key_names_the_new_one(old):
    new, _ = RENAMED[old]
    assert new in dict(leaves())
    with pytest.raises(ConfigError) as caught:
        parse(changed(old, 0.5))
    assert str(caught.value).startswith(f"{old}: unknown key; {old} is called {new}")
    assert "\n" not in str(caught.value)


def saved(**changes):
    """A config as a run's folder holds it."""
    return json.loads(json.dumps(to_dict(parse(changed("chain.student", "teacher"))) | changes))


def test_a_saved_config_lacks_the_keys_that_came_later():
    old = saved()
    del old["steps_per_call"], old["faults"], old["data"]["alignment"]["kind"]
    assert completed(old) == completed(saved())
    assert completed(old)["steps_per_call"] == 0
    assert completed(old)["data"]["mean"] == [127.5, 127.5, 127.5]
    assert completed(saved(epochs=3))["epochs"] == 3  # what it has stays
    assert completed(saved(resolved={"split": "abc"}))["resolved"] == {"split": "abc"}


def test_a_saved_config_has_keys_of_before():
    old = saved()
    old["chain"]["offspring"] = {"teacher": "ancestor"}[old["chain"].pop("student")]
    old["init"]["trunk_rate"] = old["init"].pop("backbone_rate") / 2
    before = copy.deepcopy(old)
    new = completed(old)
    assert new["chain"] == saved()["chain"]
    assert new["init"] == saved()["init"] | {"backbone_rate": 0.5}
    assert old == before


@pytest.mark.parametrize("name", methods.METHODS)
def test_a_saved_method_lacks_a_hyper_parameter(name):
    made = methods.get(name, space=LabelSpace.range(0, 10), counts=[1.0] * 11)
    whole = {"name": name, **made.hyper_parameters}
    assert completed(saved(method={"name": name}))["method"] == json.loads(json.dumps(whole))


@pytest.mark.parametrize("section", [section[:-1] for section in SECTIONS if section])
def test_a_section_that_is_none(section):
    with pytest.raises(ConfigError, match=rf"^{section}: expected a section, got 3"):
        parse(changed(section, 3))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("seed", -1, "0 or more"),
        ("batch_size", 0, "1 or more"),
        ("epochs", 0, "1 or more"),
        ("log_every", 0, "1 or more"),
        ("keep", 0, "1 or more"),
        ("accumulate", 0, "1 or more"),
        ("accumulate", 3, "batch_size = 128"),
        ("steps_per_call", -1, "0 or more"),
        ("precision", "bfloat16", "expected one of tf32, float32, got 'bfloat16'"),
        ("use", "first", "last, best"),
        ("use", "best", "needs a validation metric"),
        ("faults.not_finite", "ignore", "stop, skip"),
        ("faults.in_a_row", 0, "1 or more"),
        ("faults.dead_after", 0, "1 or more"),
        ("faults.spike", -2.0, "0 or more"),
        ("optimizer.ema", 1.0, "[0, 1)"),
        ("checkpoint_every", 0.0, "more than 0"),
        ("checkpoint_every", float("nan"), "finite"),
        ("data.size", 31, "32 or more"),
        ("data.stored_size", 100, "at least data.size = 224"),
        ("data.stored_size", -1, "at least data.size = 224"),
        ("data.protocol", "folds", "one of official, random,"),
        ("data.test_fraction", 1.0, "between 0 and 1"),
        ("data.test_fraction", 0.0, "between 0 and 1"),
        ("data.validation_fraction", 1.0, "less than 1"),
        ("data.validation_fraction", -0.1, "0 or more"),
        ("data.seed", -1, "0 or more"),
        ("data.unreadable", "ignore", "stop, skip"),
        ("data.feed", "disk", "auto, memory, stream"),
        ("data.memory_gb", -1.0, "0 or more"),
        ("data.memory_gb", float("inf"), "finite"),
        ("data.synthetic_count", 7, "8 or more"),
        ("augment.scale", (0.0, 1.0), "0 < low <= high <= 1"),
        ("augment.scale", (0.9, 0.8), "0 < low <= high <= 1"),
        ("augment.scale", (0.9, 1.1), "0 < low <= high <= 1"),
        ("augment.aspect", (0.0, 1.0), "0 < low <= high"),
        ("augment.aspect", (1.25, 0.8), "0 < low <= high"),
        ("augment.flip", 1.5, "probability"),
        ("optimizer.name", "lion", "sgd, adam, adamw"),
        ("optimizer.schedule", "linear", "step, milestones, cosine, constant"),
        ("optimizer.milestones", (20.0, 50.0), "none with another"),
        ("optimizer.learning_rate", 0.0, "> 0"),
        ("optimizer.learning_rate", float("inf"), "finite"),
        ("optimizer.every", 0.0, "> 0"),
        ("optimizer.factor", 0.0, "> 0"),
        ("optimizer.epsilon", 0.0, "> 0"),
        ("optimizer.warmup_epochs", -1.0, ">= 0"),
        ("optimizer.weight_decay", -1e-4, ">= 0"),
        ("optimizer.momentum", 1.0, "[0, 1)"),
        ("optimizer.momentum", -0.9, "[0, 1)"),
        ("optimizer.beta1", 1.0, "[0, 1)"),
        ("optimizer.beta2", 1.5, "[0, 1)"),
        ("chain.generations", 0, "1 or more"),
        ("chain.student", "parent", "pretrained, teacher, fresh"),
        ("evaluation.batch_size", 0, "1 or more"),
        ("evaluation.every", 0.0, "more than 0"),
        ("evaluation.crops", (1.0, 1.2), "expected shares from 0.1 to 1"),
        ("evaluation.crops", 0.8, "expected a tuple, got 0.8"),
        ("init.frozen_blocks", -1, "0 or more"),
        ("init.backbone_rate", 0.0, "more than 0"),
        ("init.backbone_rate", float("nan"), "finite"),
        ("init.layer_decay", -0.5, "more than 0"),
        ("init.layer_decay", 1.5, "at most 1"),
    ],
)
def test_a_value_out_of_range(key, value, expected):
    with pytest.raises(ConfigError) as caught:
        parse(changed(key, value))
    message = str(caught.value)
    assert message.startswith(f"{key}: "), message
    assert expected in message
    assert str(value) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, r"init\.freeze: .*give init\.path"),
        (
            {"init.path": "runs/a", "init.backbone_rate": 0.5},
            r"init\.freeze: .* init\.backbone_rate",
        ),
        ({"init.path": "runs/a", "init.layer_decay": 0.5}, r"init\.freeze: .* init\.layer_decay"),
        ({"init.path": "runs/a", "chain.student": "fresh"}, r"init\.freeze: .*'fresh'"),
        ({"init.path": "runs/a", "init.frozen_blocks": 1}, r"init\.freeze: .*init\.frozen_blocks"),
        (
            {"init.path": "runs/a", "init.freeze": False, "init.frozen_blocks": 1}
            | {"chain.student": "fresh"},
            r"init\.frozen_blocks: .*'fresh'",
        ),
        ({"init.freeze": False, "init.frozen_blocks": 1}, r"init\.frozen_blocks: .*init\.path"),
    ],
)
def test_what_a_frozen_network_does_not_go_with(changes, says):
    config = defaults()
    config.init.freeze = True
    for key, value in changes.items():
        section, _, name = key.partition(".")
        config[section][name] = value
    with pytest.raises(ConfigError, match=says):
        parse(config)


def test_how_the_pictures_were_cut_out():
    config = defaults()
    config.data.alignment.kind = "similarity"
    assert parse(config).data.alignment.margin == 0.4
    config.data.alignment.kind = "upright"
    with pytest.raises(ConfigError, match=r"alignment\.kind: one of none, box, similarity"):
        parse(config)


def test_a_network_s_own_options():
    config = defaults()
    config.model.name = "tinyagenet"
    config.model.rate = 0.125
    parsed = parse(config).model
    assert (parsed.name, parsed.dtype, parsed.options) == ("tinyagenet", "float32", {"rate": 0.125})
    assert to_dict(parse(config))["model"] == {
        "name": "tinyagenet",
        "dtype": "float32",
        "hidden": (),
        "hidden_dropout": 0.0,
        "standardise": False,
        "rate": 0.125,
    }
    assert "size" not in config.model, "it is data.size"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("channels", "bgrr", "rgb, bgr"), ("std", (1.0, 0.0, 1.0), "more than 0")],
)
def test_how_pictures_are_normalised(name, value, says):
    config = defaults()
    config.data[name] = value
    with pytest.raises(ConfigError, match=rf"^data\.{name}: .*{says}"):
        parse(config)


@pytest.mark.parametrize("method", [3, {"lam": 4.0}, {"name": None}, {"name": 3}])
def test_a_method_without_a_name(method):
    with pytest.raises(ConfigError, match=r"^method: expected a dict with a name"):
        parse(changed("method", method))


def test_every_hyper_parameter_of_every_method_can_be_set():
    for name in methods.METHODS:
        config = defaults()
        config.method.name = name
        for key, value in methods.hyper_parameters(name).items():
            assert config.method[key] is None
            config.method[key] = value  # the placeholder's type is that of the default
        assert parse(config).method.hyper_parameters == methods.hyper_parameters(name)


def test_only_what_is_set_reaches_the_method():
    config = defaults()
    config.method.name = "dldl"
    config.method.sigma = 3
    assert parse(config).method.hyper_parameters == {"sigma": 3.0}
    with pytest.raises(TypeError):
        config.method.sigma = "wide"


def test_a_users_methods_hyper_parameters_can_be_added():
    config = defaults()
    config.method = {"name": "mine:make", "weight": 2.0}
    assert parse(config).method.hyper_parameters == {"weight": 2.0}


def test_the_same_after_a_file_of_json():
    config = defaults()
    config.seed = 3
    config.data.name = "aaf"
    config.data.root = "some/folder"
    config.augment.scale = (0.5, 0.9)
    config.method.lam = 2.0
    config.init.path = "runs/before"
    parsed = parse(config)
    text = json.dumps(to_dict(parsed))
    assert parse(ml_collections.ConfigDict(json.loads(text))) == parsed
    assert json.dumps(to_dict(parse(ml_collections.ConfigDict(json.loads(text))))) == text


def test_keys_left_out_take_their_defaults():
    config = parse(ml_collections.ConfigDict({"epochs": 3, "data": {"size": 64}}))
    assert config == dataclasses.replace(
        Config(), epochs=3, data=dataclasses.replace(Config().data, size=64)
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_the_config_files(name):
    module = importlib.import_module(f"configs.{name}")
    config = parse(module.get_config())
    assert f"--config=configs/{name}.py" in module.__doc__
    # Its hyper-parameters are the method's own, and in range.
    methods.get(
        config.method.name, space=LabelSpace.range(0, 100), **config.method.hyper_parameters
    )
    assert json.loads(json.dumps(to_dict(config)))["data"]["name"] == config.data.name
