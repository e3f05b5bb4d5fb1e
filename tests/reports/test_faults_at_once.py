"""All faults of one input are said at once: official lists, sweeps with stages, options' paths."""

import dataclasses
import importlib

import pytest

import ldl_jax
from ldl_jax import files
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.records import DataError
from ldl_jax.run import data as run_data
from ldl_jax.run import plan, sections, sweep
from ldl_jax.run import smoke as smoking
from ldl_jax.run.config import Config, parse
from ldl_jax.run.init_section import InitConfig

SCUT = "train_test_files"
USER = "user_id\toriginal_image\tface_id\tage\n"
# Two faults or more in the official files of a dataset, and what is said of each.
OFFICIAL = {
    "megaage_asian": (
        {
            **{f"{part}/{n}.jpg": "" for part in ("train", "test") for n in (1, 2)},
            "list/train_name.txt": "1.jpg\n2.jpg\n",
            "list/train_age.txt": "x\n200\n",
            "list/test_name.txt": "1.jpg\n3.jpg\n",
            "list/test_age.txt": "4_6\n20\n5\n",
        },
        [
            "train_age.txt row 1: age must be a finite number, got 'x'",
            "test_name.txt has 2 rows, list/test_age.txt has 3",
            "test_age.txt row 1: age must be a finite number, got '4_6'",
            "1 of 2 listed pictures do not exist",
            "train_age.txt row 2: 200 is no age",
        ],
    ),
    "scut_fbp5500": (
        {
            "Images/a.jpg": "",
            f"{SCUT}/train.txt": "a.jpg x\nb.jpg\n",
            f"{SCUT}/test.txt": "a.jpg 3\na.jpg 2\n",
        },
        [
            "train.txt row 2: expected 2 cells",
            "train.txt row 1: score must be a finite number, got 'x'",
            "test.txt row 2: 'Images/a.jpg' is listed already",
        ],
    ),
    "adience": (
        {
            "aligned/u/landmark_aligned_face.1.a.jpg": "",
            "fold_0_data.txt": USER + "u\ta.jpg\t1\told\nu\t\t1\t(0, 2)\n",
            **{f"fold_{n}_data.txt": USER for n in (1, 2, 3)},
            "fold_4_data.txt": USER + "u\ta.jpg\t2\n",
        },
        [
            "fold_0_data.txt row 2: age must be a number, a range",
            "fold_0_data.txt row 3: original_image is empty",
            "fold_4_data.txt row 2: expected 4 cells",
        ],
    ),
    "cfd": (
        {
            "Images/CFD-WF-001-001-N.jpg": "",
            "norming.csv": "Model,Attractive\nWF-001,x\nWF-001,3\nWF-002,y\n",
        },
        [
            "row 3: WF-001 is rated already",
            "row 2: attractive must be a finite number, got 'x'",
            "row 4: attractive must be a finite number, got 'y'",
            "row 4: WF-002 has no neutral picture",
        ],
    ),
    "morph": (
        {"a.jpg": "", "morph.csv": "path,age,id\na.jpg,x,1\n,30,2\na.jpg\nb.jpg,140,3\n"},
        [
            "row 4: expected 3 cells",
            "row 2: age must be a finite number",
            "row 3: path is empty",
            "1 of 1 listed pictures do not exist",
            "row 5: 140 is no age",
        ],
    ),
    "chalearn16": (
        {
            **{f"{part}/a.jpg": "" for part in ("train", "valid", "test")},
            "train_gt.csv": "image,mean,stdv\na.jpg,x,-1\n",
            "valid_gt.csv": "image,mean,stdv\na.jpg,30,y\n",
            "test_gt.csv": "image,mean,stdv\na.jpg,30,1\n",
        },
        [
            "train_gt.csv row 2: mean must be a finite number, got 'x'",
            "train_gt.csv row 2: stdv must not be negative",
            "valid_gt.csv row 2: stdv must be a finite number, got 'y'",
        ],
    ),
    "agedb": (
        {"0_A_35_f.jpg": "", "a.jpg": "", "b.jpg": ""},
        ["a.jpg: a file's name must be", "b.jpg: a file's name must be"],
    ),
    "label_folders": (
        {"0_2/a.jpg": "", "1_4/a.jpg": "", "4_6_8/a.jpg": ""},
        ["folder 4_6_8: its name must be", "folders '0_2' and '1_4': overlap"],
    ),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_list_s_faults_are_said_at_once(name, tmp_path):
    texts, expected = OFFICIAL[name]
    for file, text in texts.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    with pytest.raises(DataError) as caught:
        catalogue.read(name, tmp_path)
    first, *lines = str(caught.value).split("\n  - ")
    assert first.endswith(f": {len(expected)} faults")
    for part, line in zip(expected, lines, strict=True):
        assert part in line


def test_the_first_twenty_faults_of_an_official_list_and_their_count(tmp_path):
    (tmp_path / "morph.csv").write_text("path,age,id\n" + "a.jpg,x,1\n" * 50)
    with pytest.raises(DataError) as caught:
        catalogue.read("morph", tmp_path)
    lines = str(caught.value).split("\n  - ")
    assert (lines[0], len(lines), lines[-1]) == ("morph.csv: 50 faults", 22, "and 30 more")


def test_columns_that_are_missing_are_named_together(tmp_path):
    (tmp_path / "morph.csv").write_text("file,years\n")
    with pytest.raises(DataError, match=r"no column 'path' or 'photo', no column 'age', no column"):
        catalogue.read("morph", tmp_path)


def test_a_sweep_s_own_faults_and_its_stages_are_said_at_once(tmp_path):
    from launch import main

    missing = {"name": "aaf", "root": str(tmp_path / "nowhere")}
    data = dataclasses.replace(Config().data, **missing)
    stage = dataclasses.replace(Config(), data=data, batch_size=8)
    drawn = dataclasses.replace(Config().data, synthetic_count=24, size=32)
    config = dataclasses.replace(
        Config(),
        data=drawn,
        batch_size=999,
        stages={"first": stage},
        init=InitConfig("stage:first"),
        sweep=({"seed": (0, 1)},),
    )
    with pytest.raises(ValueError, match="batch_size: 999 is not a multiple of") as caught:
        main.run(config, tmp_path / "run", None)
    assert "--config.stages.first.data.root=DIR" in str(caught.value)
    assert str(caught.value).count("batch_size: 999") == 1  # both runs have it
    assert not (tmp_path / "run").exists()


# "~" in paths


def test_a_file_s_faults_keep_their_lines_on_the_way_through_a_run_and_its_stages(tmp_path):
    (tmp_path / "a.csv").write_text("path,label\na.jpg,4_6\nb.jpg,old\n")
    config = Config(data=sections.DataConfig(name="csv_folder", csv=str(tmp_path / "a.csv")))
    with pytest.raises(DataError, match=r"2 faults\n  - a.csv row 2: .*\n  - a.csv row 3: "):
        run_data.read_records(config.data)
    stage = plan.Run("stages/first", config)
    with pytest.raises(DataError, match=r"2 faults\n  - "), plan.keys_of(stage):
        run_data.read_records(config.data)


def test_a_home_folder_in_options_and_functions(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    options = {"list": "~/l.txt", "gaps": "drop", "least": 3}
    expected = options | {"list": f"{tmp_path}/l.txt"}
    assert sections.DataConfig(options=options).options == expected
    assert sections.TestSetConfig(options=options).options == expected
    assert sections.ModelConfig(options=options).options == expected
    with pytest.raises(sections.ConfigError, match=r"^data.options.a: ~nobody-.*; data.options.b"):
        sections.DataConfig(options={"a": "~nobody-here/x", "b": "~nobody-there/x"})
    with pytest.raises(ValueError, match=f"^path: {tmp_path}/x does not exist"):
        ldl_jax.load("~/x")
    files.write("~/out/a.txt", "text")
    assert (tmp_path / "out/a.txt").read_text() == "text"
    with pytest.raises(ValueError, match="no user has this name"):
        files.write("~nobody-of-this-name/a.txt", "text")
    (tmp_path / "a.jpg").touch()
    (tmp_path / "morph.csv").write_text("path,age,id\n~/a.jpg,30,1\n")
    assert catalogue.read("morph", "~").paths == (tmp_path / "a.jpg",)
    with pytest.raises(DataError, match=r"^morph: ~nobody-of-this-name: no user has this name"):
        catalogue.read("morph", "~nobody-of-this-name")


# Smoke runs

NAMES = ("cen_table1", "cen_table5", "cen_table6", "dldlv2_table4", "ssrnet_dynamic_range")
# Train programs that a smoke run compiles: one a setting for all first generations, and one for
# those with a teacher. A stage's is mostly that of the first generation that goes on from it.
PROGRAMS = dict(zip(NAMES, (3, 5, 5, 4, 3), strict=True)) | {"five_seeds": 2}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_sweep_s_smoke_run_compiles_few_programs(name):
    """Most of its time is that; the count is what keeps each below a minute on two cores."""
    config = smoking.smoke(parse(importlib.import_module(f"configs.sweeps.{name}").get_config()))
    points = sweep.points(config)
    groups = sweep.groups(sweep.points(parse(_config(name))))
    kinds = [
        {(run.model.name, run.method.name, run.init.path) for run in (point.config for point in of)}
        for of in (points, [point for group in groups for point in group])
    ]
    assert kinds[0] == kinds[1]  # no network, method or stage is left out
    spaces = 2 if name == "dldlv2_table4" else 0  # of four label spaces alone the ends stay
    assert len(sweep.groups(points)) == len(groups) - spaces
    assert len({sweep.program(point.config) for point in points}) < len(points)  # there is a spread
    trained = {
        (repr(run.model), repr(run.method), repr(run.optimizer), run.data.space, generation > 1)
        for run in (*(point.config for point in points), *config.stages.values())
        for generation in range(1, run.chain.generations + 1)
    }
    assert len(trained) == PROGRAMS[name]


def _config(name):
    return importlib.import_module(f"configs.sweeps.{name}").get_config()


def test_a_smoke_run_on_cpus_optimizes_no_program():
    import jax

    option = "jax_disable_most_optimizations"
    before = jax.config.values[option], jax.config.values["jax_compilation_cache_dir"]
    with smoking.quickly_compiled():
        assert jax.config.values[option]
        assert jax.config.values["jax_compilation_cache_dir"]
    assert before == (jax.config.values[option], jax.config.values["jax_compilation_cache_dir"])
