"""What a person meets before a run: help, paths, own methods, and what it computes on."""

import importlib
import logging
import re
import sys
from pathlib import Path

import jax
import pytest
from absl import flags
from PIL import Image

from launch import main
from ldl_jax import methods
from ldl_jax.data.datasets import catalogue
from ldl_jax.files import from_home
from ldl_jax.labels import AGE
from ldl_jax.run import config as schema
from ldl_jax.run import config_help, config_names, devices, own_keys, sections
from ldl_jax.run.command import parse_flags, quiet
from ldl_jax.run.config import Config, ConfigError
from ldl_jax.run.init_section import InitConfig
from ldl_jax.run.sections import DataConfig

CONFIG = "--config=configs/quickstart.py"


@pytest.fixture
def parsed(monkeypatch):
    """Gives `parsed(*arguments)`, which parses them as launch.main does."""

    def parse(*arguments):
        flags.FLAGS.unparse_flags()
        for name in [name for name in flags.FLAGS if name.startswith("config.")]:
            delattr(flags.FLAGS, name)  # ml_collections defines an override once a process
        parse_flags(["main", *arguments])
        return flags.FLAGS

    before = sys.argv
    yield parse
    assert sys.argv is before


# Point 16.


def test_help_shows_flags_and_every_key_and_ends_with_0(parsed, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed("--help")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "--config.data.root  (text, '')\n      the dataset's folder.\n" in printed
    assert "--config.optimizer.learning_rate  (number, 0.001)" in printed
    for key, _, _, meaning in config_help.keys(Config()):
        assert f"--config.{key}  (" in printed
        assert len(meaning) > 5, key


def test_a_config_file_that_is_not_there_is_named_with_one_like_it(parsed, capsys):
    for given in (["--config=configs/cen_morf.py"], ["--config", "configs/cen_morf.py"]):
        with pytest.raises(SystemExit) as ended:
            parsed(*given)
        assert ended.value.code == 1
        error = capsys.readouterr().err
        assert error.startswith("error: --config: there is no file configs/cen_morf.py (from /")
        assert "did you mean configs/cen_morph.py" in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("before", ["", "configs/"])
@pytest.mark.parametrize("after", ["", ".py"])
@pytest.mark.parametrize("name", ["quickstart", "cen_morph", "sweeps/cen_table5"])
def test_a_config_of_the_package_has_a_short_name(
    parsed, tmp_path, monkeypatch, name, before, after
):
    monkeypatch.chdir(tmp_path)
    given = parsed(f"--config={before}{name}{after}", "--config.seed=7")
    assert given["config"].value.seed == 7
    assert Path(given["config"].config_filename) == config_names.FOLDER / f"{name}.py"
    assert config_names.workdir(None, given["config"]) == Path("runs") / name.rpartition("/")[2]
    assert config_names.workdir("mine", given["config"]) == Path("mine")


def test_every_command_with_a_config_takes_names(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    quickstart = str(config_names.FOLDER / "quickstart.py")
    for given in (["--config=quickstart"], ["-config", "quickstart"], ["--config", "quickstart"]):
        assert config_names.put_files(given)[-1].endswith(quickstart)
    others = ["--config.method.name=dex", "--workdir", "quickstart", "x"]
    assert config_names.put_files(others) == others
    aaf = config_names.file_of("benchmarks/aaf:some")
    assert aaf == f"{config_names.FOLDER / 'benchmarks' / 'aaf.py'}:some"
    assert {"quickstart", "benchmarks/aaf", "sweeps/five_seeds"} <= {*config_names.names()}
    assert not [name for name in config_names.names() if "recipes" in name or "__" in name]


def test_a_file_goes_before_a_config_of_the_package(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    for file in ("quickstart", "configs/cen_aaf.py", "cen_morph.py"):
        (tmp_path / file).touch()
    assert config_names.file_of("quickstart") == "quickstart"
    assert config_names.file_of("configs/cen_aaf") == "configs/cen_aaf.py"
    assert config_names.file_of("cen_morph") == "cen_morph.py"
    assert config_names.file_of("cen_aaf") == str(config_names.FOLDER / "cen_aaf.py")


def test_a_folder_of_the_user_s_own_does_not_hide_the_package_s_configs(
    parsed, monkeypatch, tmp_path
):
    own = tmp_path / "configs"
    own.mkdir()
    (own / "__init__.py").write_text("RECIPES = None\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "configs"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.import_module("configs")
    assert parsed("--config=cen_morph")["config"].value.chain.generations > 1


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("quikstart", "did you mean quickstart"),
        ("cen_table5", "did you mean sweeps/cen_table5"),
        ("configs/cen_morf.py", "did you mean configs/cen_morph.py"),
        ("bench/aaf", "did you mean benchmarks/aaf"),
        ("zzz", "the package has adience_resnet18, benchmarks/aaf"),
        ("../pyproject", "the package has"),
        ("recipes/cen", "did you mean cen_aaf"),
    ],
)
def test_an_unknown_config_names_those_like_it(parsed, tmp_path, monkeypatch, capsys, given, near):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        parsed(f"--config={given}")
    error = capsys.readouterr().err
    assert f"--config: there is no file {given} (from {tmp_path})" in error
    assert near in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nowhere_at_all\n", "mine.py:1: ModuleNotFoundError: No module named 'nowhere"),
        ("def get_config():\n    return 1 / 0\n", "mine.py:2: ZeroDivisionError"),
    ],
)
def test_a_config_file_with_a_fault_is_one_line(parsed, tmp_path, capsys, text, says):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(SystemExit):
        parsed(f"--config={tmp_path / 'mine.py'}")
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_hyper_parameters_of_an_own_method_are_given_as_flags(parsed, capsys):
    own = "--config.method.name=mine:factory"
    given = parsed(CONFIG, own, "--config.method.weight=0.25", "--config.method.kind=soft")
    method = schema.parse(given["config"].value).method
    assert method.hyper_parameters == {"weight": 0.25, "kind": "soft"}
    with pytest.raises(SystemExit):
        parsed(CONFIG, "--config.method.weight=0.25")
    error = capsys.readouterr().err
    assert "--config.method.weight: unknown key, 'cen' has no such hyper-parameter" in error
    assert error.count("\n") == 1


def test_a_stage_s_own_method_has_its_hyper_parameters_too():
    config = schema.defaults()
    config.stages.first = schema.defaults()
    config.stages.first.method.name = "mine:factory"
    left, keys = own_keys.taken_out(
        ["--config.stages.first.method.weight=True", "--config.method.alpha=1"]
    )
    assert left == ["--config.method.alpha=1"]
    own_keys.put_in(config, keys)
    assert config.stages.first.method.weight is True


@pytest.mark.parametrize(
    ("section", "naming"),
    [(section, name) for section, names in own_keys.SECTIONS.items() for name in names],
)
def test_every_open_section_takes_the_keys_of_ones_own_alone(parsed, capsys, section, naming):
    config = schema.defaults()
    _, keys = own_keys.taken_out([f"--config.{section}.weight=0.25"])
    with pytest.raises((KeyError, ValueError), match=rf"{section}\.weight"):
        own_keys.put_in(config, keys)
    part, _, name = naming.rpartition(".")
    outer, inner = config, config
    for key in part.split("."):
        outer = outer[key]
    outer[name] = "mine:factory"
    own_keys.put_in(config, keys)
    for key in section.split("."):
        inner = inner[key]
    assert inner.weight == 0.25
    with pytest.raises(SystemExit):
        parsed(CONFIG, f"--config.{section}.weight=0.25")
    error = capsys.readouterr().err
    assert f"{section}.weight" in error
    assert "unknown key" in error
    assert error.count("\n") == 1


def test_an_own_network_s_option_may_have_another_type_than_a_built_in_s(parsed):
    own = "--config.model.name=mine:factory"
    given = (
        "--config.model.features=64",
        "--config.model.depth=deep",
        "--config.model.hidden=(8,)",
    )
    model = parsed(CONFIG, own, *given)["config"].value.model
    assert (model.features, model.depth, model.hidden) == (64, "deep", (8,))
    config = schema.defaults()
    config.model.name, config.model.features = "mine:factory", 64
    assert config.model.features == 64


def test_an_own_method_s_file_that_is_not_found_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    says = rf"cannot import 'nowhere_mine:make': .*; looked for it in .*{tmp_path}.*PYTHONPATH"
    with pytest.raises(ValueError, match=says):
        methods.get("nowhere_mine:make", space=AGE)
    (tmp_path / "mine_with_a_fault.py").write_text("def make(:\n")
    says = r"cannot import .* SyntaxError: .*mine_with_a_fault\.py, line 1"
    with pytest.raises(ValueError, match=says):
        methods.get("mine_with_a_fault:make", space=AGE)
    (tmp_path / "mine_with_a_want.py").write_text("import nowhere_at_all\n")
    with pytest.raises(ValueError, match="No module named 'nowhere_at_all'") as caught:
        methods.get("mine_with_a_want:make", space=AGE)
    assert "looked for it" not in str(caught.value)  # the file is there


# Point 9.


def test_a_home_folder_is_meant_wherever_a_shell_would_read_it(parsed, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    given = parsed(
        CONFIG, "--workdir=~/base", "--config.data.root=~/a", "--config.init.path=~", "--profile=x~"
    )
    assert given.workdir == f"{tmp_path}/base"
    assert given.profile == "x~"
    config = given["config"].value
    assert (config.data.root, config.init.path) == (f"{tmp_path}/a", str(tmp_path))
    test = sections.TestSetConfig("aaf", "~/b", "~/c.csv")
    data = DataConfig("aaf", "~/r", "~/d.csv", split_file="~/s.json")
    made = [test.root, test.csv, data.root, data.csv, data.split_file, InitConfig("~/w").path]
    names = ["b", "c.csv", "r", "d.csv", "s.json", "w"]
    assert made == [f"{tmp_path}/{name}" for name in names]


def test_a_user_who_is_not_there_is_refused(parsed, capsys):
    with pytest.raises(SystemExit):
        parsed(CONFIG, "--workdir=~nobody-of-this-name/x")
    assert "~nobody-of-this-name: no user has this name" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"^data\.root: ~nobody-of-this-name/x: no user"):
        DataConfig(root="~nobody-of-this-name/x")
    assert from_home("a/~/b") == "a/~/b"


def test_a_home_folder_in_a_list_of_pictures(tmp_path, monkeypatch, write_picture):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a.png", "~b.png"):
        write_picture(tmp_path / "faces" / name)
    lines = ["path,label", "~/faces/a.png,20", "~b.png,30"]
    (tmp_path / "faces" / "list.csv").write_text("\n".join(lines) + "\n")
    records = catalogue.read("csv_folder", "~/faces", csv="list.csv")
    assert [path.is_file() for path in records.paths] == [True, True]


@pytest.fixture
def write_picture():
    def write(path):
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40)).save(path)

    return write


# Point 6.


def test_a_run_says_first_what_it_computes_on(parsed):
    said = []
    parsed(CONFIG)
    devices.check(said.append)
    assert said[0].startswith("computes on the CPU: ")
    assert " cores, " in said[0]
    assert said[0].endswith(" GB of memory, as 8 devices")


def test_a_run_that_requires_a_gpu_stops_without_one(parsed, tmp_path, capsys):
    parsed(CONFIG, "--require=gpu", f"--workdir={tmp_path / 'run'}")
    try:
        with pytest.raises(SystemExit) as ended:
            main.main(["main"])
    finally:
        flags.FLAGS.require = None
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: --require=gpu: JAX computes on the CPU: ")
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("card", "build", "asked", "says"),
    [
        (False, False, "", ""),
        (True, False, "", "an NVIDIA card is here, but JAX has no NVIDIA build"),
        (False, True, "", "NVIDIA build of JAX is here .* but no card shows"),
        (True, True, "", "are here, but JAX cannot use them"),
        (True, True, "cpu", "an NVIDIA card is here, but JAX_PLATFORMS=cpu keeps JAX from it"),
    ],
)
def test_a_card_that_is_not_used_is_said(monkeypatch, tmp_path, card, build, asked, says):
    class Module:
        name = "jax_cuda12_plugin" if build else "json"

    (tmp_path / "dev").mkdir()
    if card:
        (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setattr(devices.pkgutil, "iter_modules", lambda: [Module()])
    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", asked)
    try:
        text = devices.unused_nvidia(tmp_path)
    finally:
        jax.config.update("jax_platforms", before)
    assert re.search(says, text)
    assert bool(text) == bool(says)


def test_jax_s_own_word_on_a_device_is_one_line(parsed, capsys):
    parsed(CONFIG)
    quiet()
    quiet()
    logger = logging.getLogger("jax._src.xla_bridge")
    logger.info("nothing to say")
    try:
        raise OSError("libcuda.so.1: cannot\nopen")
    except OSError:
        logger.exception("Jax plugin configuration error")
    error = capsys.readouterr().err
    assert error == (
        "warning: JAX: Jax plugin configuration error OSError: libcuda.so.1: cannot open\n"
    )
