"""From a config to a run: everything is checked before a file is written, and said in a line."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.data.datasets.catalogue import DATASETS
from ldl_jax.data.feed.choice import Memory
from ldl_jax.data.records import DataError
from ldl_jax.data.synthetic import faces as synthetic
from ldl_jax.labels import LabelSpace
from ldl_jax.run import config as schema
from ldl_jax.run import data, experiment, feeding
from ldl_jax.run.config import ConfigError
from ldl_jax.train import generations, programs
from ldl_jax.train.checkpoint import read_weights
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.train.state import Weights
from ldl_jax.workdir import Workdir

pytestmark = pytest.mark.usefixtures("tiny_network")


def make_config(**changes):
    """A small run on drawn faces; changes by dotted key, dots written as two underscores."""
    config = schema.defaults()
    config.data.synthetic_count = 24
    config.data.size = 32
    config.model.name = "tiny"
    config.batch_size = 8
    config.epochs = 1
    config.evaluation.batch_size = 8
    config.chain.generations = 1
    for key, value in changes.items():
        *path, last = key.split("__")
        section = config
        for name in path:
            section = section[name]
        section[last] = value
    return schema.parse(config)


def build(log=lambda text: None, read=data.read_records, **changes):
    return experiment.build(make_config(**changes), log, devices=1, read=read)


@pytest.fixture
def pictures(tmp_path):
    """A folder of 12 pictures and a list of them; `pictures(labels, broken)` writes it."""

    def write(labels=None, broken=(), split=True):
        labels = list(range(20, 32)) if labels is None else labels
        rng = np.random.default_rng(0)
        lines = ["path,label,sigma,subject,split"]
        for place, label in enumerate(labels):
            name = f"p{place}.png"
            Image.fromarray(rng.integers(0, 256, (40, 36, 3), np.uint8)).save(tmp_path / name)
            if place in broken:
                (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
            part = ("test" if place % 4 == 0 else "train") if split else ""
            lines.append(f"{name},{label},{'' if place % 2 else 2.5},person-{place // 2},{part}")
        (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
        return {
            "data__name": "csv_folder",
            "data__root": str(tmp_path),
            "data__csv": "labels.csv",
            "batch_size": 4,
        }

    return write


# How it is trained.


def test_options_of_training_reach_the_job():
    made = build(
        accumulate=2,
        steps_per_call=3,
        keep=5,
        best="rmse",
        use="best",
        data__validation_fraction=0.3,
        optimizer__ema=0.99,
        faults__not_finite="skip",
    )
    job = made.job
    assert (job.accumulate, job.keep, job.best, job.use, job.optimizer.ema) == (
        2,
        5,
        "rmse",
        "best",
        0.99,
    )
    assert job.schedule.steps_per_call == 3
    assert job.faults.not_finite == "skip"


def test_steps_per_call_by_the_device(monkeypatch, pictures):
    assert build().job.schedule.steps_per_call == 1
    streamed = {**pictures(), "data__feed": "stream"}
    assert build(**streamed).job.schedule.steps_per_call == 1
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert build().job.schedule.steps_per_call == 16
    assert build(**streamed).job.schedule.steps_per_call == 1


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (
            "mea",
            r"^best: expected one of mae, rmse, .*crps, qwk, amae, mmae, got 'mea'",
        ),
        ("accuracy", r"^best: expected one of .*, got 'accuracy'"),  # there are no groups
        ("coverage90", r"^best: expected one of .*, got 'coverage90'"),
    ],
)
def test_a_metric_that_no_validation_has(metric, says):
    with pytest.raises(ConfigError, match=says):
        build(best=metric, data__validation_fraction=0.3)


def test_a_best_needs_a_validation_part():
    with pytest.raises(ConfigError, match=r"^best: 'mae' is of the validation part; .*_fraction"):
        build(best="mae")


def test_parts_of_a_batch_that_the_devices_do_not_divide():
    with pytest.raises(ValueError, match=r"^batch_size / accumulate: 4 is not a multiple of the 8"):
        experiment.build(make_config(batch_size=16, accumulate=4), lambda text: None)


# What a run is made of.


def test_synthetic():
    said = []
    made = build(said.append)
    job = made.job
    counts = {"train": len(job.data.train.part), "test": len(job.data.test.part)}
    assert sum(counts.values()) == 24
    assert job.data.validation is None
    assert job.init.backbone is None
    assert job.data.train.part.images.shape == (counts["train"], 32, 32, 3)
    assert job.data.train.part.labels.dtype == job.data.train.part.sigma.dtype == np.float32
    assert (job.method.name, job.model.name, job.placement.devices) == ("cen", "tiny", 1)
    assert len(job.order(1)) == counts["train"] // 8
    assert made.baseline > 0
    (line,) = said
    assert made.protocol == "official"
    assert f"synthetic: {counts['train']} train, {counts['test']} test pictures" in line
    assert "32x32" in line


def test_the_label_space_of_the_training_part():
    """CEN's l_1 and l_k are the training set's extremes."""
    job = build().job
    low, high = job.data.train.part.labels.min(), job.data.train.part.labels.max()
    assert job.method.space == LabelSpace.range(float(low), float(high))
    assert job.data.test.part.truth is None  # the truth is of another label space


def test_a_label_space_that_is_given():
    job = build(data__space="2:1:80").job
    assert job.method.space == LabelSpace.range(2, 80)
    assert job.data.test.part.truth.shape == (len(job.data.test.part), 79)


def test_parts_hold_each_picture_once():
    job = build(data__validation_fraction=0.25, data__protocol="subject").job
    ids = [set(f.part.ids) for f in (job.data.train, job.data.validation, job.data.test)]
    assert set.union(*ids) == {f"face-{i:06d}" for i in range(24)}
    assert sum(map(len, ids)) == 24


def test_the_description_is_json_and_whole():
    made, again = build(data__space="2:1:80"), build(data__space="2:1:80", method__lam=4.0)
    text = json.dumps(made.description)
    assert json.dumps(again.description) == text  # a default that is given is no other run
    description = json.loads(text)
    assert description["method"] == {"name": "cen", **made.job.method.hyper_parameters}
    assert description["resolved"]["pictures"] == {
        "train": len(made.job.data.train.part),
        "test": len(made.job.data.test.part),
    }
    assert description["resolved"]["space"]["values"][-1] == 80
    assert json.loads(json.dumps(made.job.about.to_json()))["preprocessing"]["size"] == 32
    other = build(data__space="2:1:80", data__seed=1).description["resolved"]
    assert other["split"] != description["resolved"]["split"]


def test_a_users_methods_hyper_parameters_are_part_of_the_run(tmp_path, monkeypatch):
    (tmp_path / "somebodys_method.py").write_text(
        "from ldl_jax import methods\n"
        "def make(space, width=1.0):\n"
        "    import dataclasses\n"
        "    made = methods.get('dldl', space=space, sigma=width)\n"
        "    return dataclasses.replace(made, name='own', hyper_parameters={})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = make_config()
    method = schema.MethodConfig("somebodys_method:make", {"width": 3.0})
    made = experiment.build(dataclasses.replace(config, method=method), print, devices=1)
    assert made.job.method.name == "own"
    assert made.description["method"] == {"name": "somebodys_method:make", "width": 3.0}
    assert made.job.about.method == made.description["method"]


def test_pictures_from_files(pictures):
    said = []
    made = build(said.append, **pictures(), data__stored_size=40)
    train, test = made.job.data.train.part, made.job.data.test.part
    assert test.ids == ("p0.png", "p4.png", "p8.png")
    np.testing.assert_array_equal(test.labels, [20, 24, 28])
    np.testing.assert_array_equal(test.sigma, [2.5, 2.5, 2.5])
    assert np.isnan(train.sigma).any()
    assert train.images.shape == (9, 40, 40, 3)
    assert any("9 train, 3 test" in text for text in said)


def test_a_split_that_leaks_cannot_go_by_its_protocol_s_name(pictures, tmp_path):
    config = pictures()
    (tmp_path / "p1.png").write_bytes((tmp_path / "p0.png").read_bytes())
    said = []
    made = build(said.append, **config)
    leaks = "1 of 3 test pictures also in train, 3 of 3 test subjects also in train"
    assert made.protocol == f"official with leaks ({leaks})"
    assert made.description["resolved"]["protocol"] == made.protocol
    assert any(text.startswith("LEAK: call a number 'official with leaks") for text in said)
    silent = build(said.append, **config, data__audit=False)
    assert silent.protocol == "official, not audited"
    assert "data.audit is off" in said[-2]


def test_folds_part_the_pictures(pictures):
    config = {**pictures(), "data__protocol": "subject_kfold", "data__test_fraction": 0.5}
    tests = [build(**config, data__fold=fold).job.data.test.part.ids for fold in (0, 1)]
    assert sorted(tests[0] + tests[1]) == sorted(f"p{n}.png" for n in range(12))
    with pytest.raises(ConfigError, match=r"^data\.fold: must be in 0\.\.1 .* got 2"):
        build(**config, data__fold=2)


def test_another_dataset_to_test_on(pictures, tmp_path):
    config = pictures()
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(other / "x.png")
    (other / "ages.csv").write_text("path,label\nx.png,25\n")
    test = {"name": "csv_folder", "root": str(other), "csv": "ages.csv"}
    given = {f"data__test__{key}": value for key, value in test.items()}
    made = build(**config, **given, data__protocol="cross_dataset")
    assert made.job.data.test.part.ids == ("test:x.png",)
    assert len(made.job.data.train.part) == 12
    with pytest.raises(ConfigError, match=r"^data\.test\.name: .*cross_dataset.* got 'csv_folder'"):
        build(**config, **given)


def test_a_reader_s_options(pictures):
    with pytest.raises(ValueError, match=r"csv_folder: has no option 'gaps'; its options: unit"):
        build(**pictures(), data__options__gaps="nearest")
    with pytest.raises(ConfigError, match=r"^data\.options: .* no option 'gaps'; theirs: kind, "):
        build(data__options__gaps="nearest")
    with pytest.raises(ConfigError, match=r"^data\.options\.kind: expected one of age, .*'beauty'"):
        build(data__options__kind="beauty")


def test_synthetic_attractiveness_and_age_groups():
    job = build(data__options__kind="attractiveness", data__space="scut_fbp").job
    assert (job.method.space.size, job.method.space.unit) == (41, "score")
    assert job.data.test.part.truth.shape == (len(job.data.test.part), 41)
    options = {"data__options__kind": "age_groups", "data__options__groups": 2}
    job = build(**options, data__space="adience", data__protocol="official_folds", data__fold=4).job
    assert job.method.space.size == 8
    assert set(job.data.test.part.groups["group"]) <= {"a", "b"}
    assert len(job.data.test.part.groups["group"]) == len(job.data.test.part)


def test_other_drawn_faces_to_test_on():
    test = {"data__test__name": "synthetic", "data__test__options__corruption": "blur"}
    made = build(**test, data__protocol="cross_dataset")
    train, test = made.job.data.train.part, made.job.data.test.part
    assert (len(train), len(test), made.protocol) == (24, 24, "cross_dataset")
    np.testing.assert_array_equal(train.images, synthetic.faces(24, 32).images)
    expected = synthetic.faces(24, 32, seed=1, corruption="blur").images
    np.testing.assert_array_equal(test.images, expected)


def test_drawn_faces_can_be_streamed():
    said = []
    config = {"data__feed": "stream", "data__options__groups": 2}
    streamed, memory = build(said.append, **config).job, build(data__options__groups=2).job
    assert streamed.data.train.store == {}
    assert any("streamed: as data.feed says" in text for text in said)
    rows = [np.asarray([3, 0, 8, 5], np.int32)]
    batches = []
    for job in (streamed, memory):
        (item,) = job.data.train.items(rows, 0)
        batches.append(jax.device_get(job.data.train.fetch(job.data.train.store, item)))
    jax.tree.map(np.testing.assert_array_equal, *batches)


def test_a_split_file_gives_its_parts_and_its_name(tmp_path):
    made = build(data__protocol="subject", data__seed=0)
    path = tmp_path / "split.json"
    path.write_bytes(made.files["split.json"])
    again = build(data__split_file=str(path))
    assert again.job.data.test.part.ids == made.job.data.test.part.ids
    assert again.protocol == "subject"
    assert json.loads(path.read_text())["sha256"] == again.description["resolved"]["split"]
    with pytest.raises(
        DataError, match=r"split.json: .*has no 'face-0000|split.json: was made for"
    ):
        build(data__split_file=str(path), data__seed=1)
    with pytest.raises(DataError, match=r"nowhere.json: is no split \("):
        build(data__split_file=str(tmp_path / "nowhere.json"))


def test_prints_are_taken_once(pictures, tmp_path, monkeypatch):
    config = pictures()
    workdir = tmp_path / "run"
    workdir.mkdir()
    made = experiment.build(make_config(**config), print, 1, workdir=workdir)
    (workdir / "prints.npz").write_bytes(made.files["prints.npz"])
    taken = []
    take = data.hashes.take

    def count(records):
        taken.append(len(records))
        return take(records)

    monkeypatch.setattr(data.hashes, "take", count)
    again = experiment.build(make_config(**config), print, 1, workdir=workdir)
    assert (again.protocol, again.files, taken) == (made.protocol, made.files, [])
    (tmp_path / "p1.png").write_bytes((tmp_path / "p0.png").read_bytes())
    changed = experiment.build(make_config(**config), print, 1, workdir=workdir)
    assert taken == [12]
    assert "1 of 3 test pictures also in train" in changed.protocol
    damaged = bytearray(made.files["prints.npz"])
    damaged[len(damaged) // 2] ^= 255
    (workdir / "prints.npz").write_bytes(damaged)
    experiment.build(make_config(**config), print, 1, workdir=workdir)
    assert taken == [12, 12]


@pytest.mark.parametrize("feed", ["memory", "stream"])
def test_both_feeds_give_the_same_batches(pictures, feed):
    config = pictures()
    memory, other = (build(**config, data__feed=f).job for f in ("memory", feed))
    rows = [np.asarray([3, 0, 8, 5], np.int32)]
    batches = []
    for job in (memory, other):
        (item,) = job.data.train.items(rows, 0)
        batches.append(jax.device_get(job.data.train.fetch(job.data.train.store, item)))
    jax.tree.map(np.testing.assert_array_equal, *batches)


def test_what_does_not_fit_is_streamed(pictures):
    said = []
    job = build(said.append, **pictures(), data__memory_gb=1e-6).job
    assert job.data.train.store == {}
    assert any("streamed: more than data.memory_gb = 1e-06" in text for text in said)


def test_pictures_of_an_archive(pictures):
    config = {**pictures(), "data__audit": False}
    rows = [np.asarray([3, 0, 8, 5], np.int32)]
    plain = build(**config).job.data.train
    (item,) = plain.items(rows)
    expected = jax.device_get(plain.fetch(plain.store, item))

    def archive(config, change=lambda content: content):
        records = data.read_records(config)
        packed = [change(path.read_bytes()) for path in records.paths]
        return dataclasses.replace(records, paths=(), packed=packed)

    for kind in ("memory", "stream"):
        train = build(**config, data__feed=kind, read=archive).job.data.train
        (item,) = train.items(rows)
        given = jax.device_get(train.fetch(train.store, item))
        jax.tree.map(np.testing.assert_array_equal, given, expected)
    with pytest.raises(DataError, match=r"^p1\.png: 4 bytes: cannot be read as a picture"):
        build(**config, read=lambda config: archive(config, lambda content: b"none"))


def test_a_reader_reads_each_dataset_once(pictures, monkeypatch):
    read, seen = data.Reader(), []
    once = data.read_records

    def spy(config):
        seen.append(config)
        return once(config)

    monkeypatch.setattr(data, "read_records", spy)
    listed = make_config(**pictures()).data
    for changes in ({}, {"fold": 1}, {"protocol": "kfold"}, {"seed": 7}):
        assert read(dataclasses.replace(listed, **changes)) is read(listed)
    assert len(seen) == 1
    drawn = make_config().data
    faces = [read(dataclasses.replace(drawn, **changes)) for changes in ({}, {"seed": 7})]
    assert len(seen) == 3
    assert faces[0] is read(drawn)
    assert not np.array_equal(faces[0].labels, faces[1].labels)


@pytest.mark.parametrize(
    ("memory", "says", "split"),
    [
        (Memory(None, 1e9, 2, False), "a copy on every device: fits into free memory", None),
        (Memory(None, 1e5, 2, False), "shares on the devices: 7.37e-05 GB a device exceed", 2),
        (Memory(None, 1e2, 2, False), "streamed: 3.69e-05 GB a device exceed half of", 0),
    ],
)
def test_the_free_memory_says_where_the_pictures_are_kept(monkeypatch, memory, says, split):
    monkeypatch.setattr(feeding, "measure", lambda devices: memory)
    said = []
    config = make_config()
    job = experiment.build(config, said.append, devices=2).job
    assert any(says in text for text in said)
    if split == 0:
        assert job.data.train.store == {}  # drawn faces are in memory, and stream from there
    else:
        assert job.data.train.store["images"].sharding.is_fully_replicated == (split is None)
    monkeypatch.setattr(feeding, "measure", lambda devices: memory._replace(device=1.0))
    with pytest.raises(ValueError, match=r"^data\.feed: 'memory' needs 0\.00 GB"):
        experiment.build(make_config(data__feed="memory"), said.append, devices=2)


# What cannot be.


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_that_is_not_there(name, tmp_path):
    for root in ("", str(tmp_path / "nowhere"), str(tmp_path)):
        with pytest.raises(DataError) as caught:
            build(data__name=name, data__root=root)
        message = str(caught.value)
        assert message.startswith(f"{name}: ")
        assert "Expected under the root: " in message
        assert "--config.data.root=DIR" in message
        assert DATASETS[name].where in message
        assert "\n" not in message


def test_a_dataset_that_nobody_knows():
    with pytest.raises(ConfigError, match=r"^data\.name: .*synthetic, .*aaf.* got 'imdb'"):
        build(data__name="imdb")


@pytest.mark.parametrize("space", ["20:1:30", "21:1:40"])
def test_a_label_outside_the_space_names_its_row(pictures, space):
    row, label = (13, 31) if space == "20:1:30" else (2, 20)
    with pytest.raises(DataError) as caught:
        build(**pictures(), data__space=space)
    message = str(caught.value)
    assert f"labels.csv row {row}: label {label} lies outside the label space" in message
    assert "1 of 12 labels do" in message


@pytest.mark.parametrize("feed", ["memory", "stream"])
def test_an_unreadable_picture_is_skipped_and_counted(pictures, feed):
    said = []
    job = build(
        said.append, **pictures(broken=(1, 8)), data__unreadable="skip", data__feed=feed
    ).job
    assert "p1.png" not in job.data.train.part.ids
    assert job.data.test.part.ids == ("p0.png", "p4.png")
    assert len(job.data.train.part) == 8
    np.testing.assert_array_equal(job.data.test.part.labels, [20, 24])
    skipped = [text for text in said if "skipped" in text]
    assert skipped[0].startswith("skipped 1 unreadable pictures of 9; the first is ")
    assert skipped[0].endswith("/p1.png (labels.csv row 3)")
    assert skipped[1].startswith("skipped 1 unreadable pictures of 3; the first is ")
    assert skipped[1].endswith("/p8.png (labels.csv row 10)")


def test_an_unreadable_picture_stops(pictures):
    with pytest.raises(DataError, match=r"p8\.png: cannot be read as a picture"):
        build(**pictures(broken=(8,)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data__root": "faces"}, r"^data\.root, data\.csv: synthetic faces are drawn, not read"),
        ({"batch_size": 64}, r"^batch_size: 64 is more than the \d+ training pictures"),
        ({"model__name": "resnet"}, r"^model\.name: unknown network 'resnet'; known: resnet10"),
        ({"model__dtype": "float16"}, r"^model\.dtype: expected one of float32, bfloat16"),
        ({"method__name": "cne"}, r"^method\.name: unknown method 'cne'; known: .*cen"),
        ({"method__sigma": 2.0}, r"^method\.sigma: 'cen' has no such hyper-parameter"),
        ({"method__alpha": 2.0}, r"^method\.alpha: .* got 2.0"),
        ({"data__space": "ages"}, r"^data\.space: expected low:step:high .* got 'ages'"),
        ({"data__space": "9:1:3"}, r"^data\.space: high: must exceed low"),
        ({"chain__early_end": True}, r"^chain\.early_end: .*data\.validation_fraction"),
        ({"init__path": "runs/nowhere"}, r"^init\.path: runs/nowhere is neither the workdir"),
    ],
)
def test_refuses(changes, says):
    with pytest.raises(ValueError, match=says) as caught:
        build(**changes)
    assert "\n" not in str(caught.value)


def test_training_labels_that_are_all_the_same(pictures):
    with pytest.raises(ConfigError, match=r"^data\.space: all training labels are 30; give low"):
        build(**pictures(labels=[30] * 12))


def test_no_official_split(pictures):
    with pytest.raises(DataError, match="there is no official split; use protocol 'random' or"):
        build(**pictures(split=False))


def test_early_end_looks_at_a_validation_part(pictures, tmp_path):
    assert (
        build(chain__early_end=True, data__validation_fraction=0.25).job.data.validation is not None
    )
    # One that comes with the dataset serves as well.
    config = pictures()
    table = tmp_path / "labels.csv"
    table.write_text(table.read_text().replace("person-1,train", "person-1,validation"))
    assert len(build(**config, chain__early_end=True).job.data.validation.part) == 2


# The network of a finished run.


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_network):
    """The workdir of a run of one epoch."""
    path = tmp_path_factory.mktemp("finished") / "run"
    made = build(data__synthetic_count=40, data__space="2:1:80")
    run(made, path)
    return path


class Silent:
    """A watcher."""

    def generation(self, generation, steps, step):
        pass

    def step(self, epoch):
        pass

    def progress(self, loss, speed):
        pass

    def evaluation(self, done, count):
        pass

    def log(self, text):
        raise AssertionError(text)


def run(made, path):
    with Workdir(path, made.description) as workdir:
        return generations.run(made.job, workdir, Interrupt(), Silent())


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_finished_run(finished):
    assert (finished / "generation_1.json").exists()
    about, weights = read_weights(finished / "checkpoints" / "generation_1")
    assert about.model == {"name": "tiny", "dtype": "float32"}
    assert (about.generation, about.flip) == (1, True)
    assert set(weights["params"]) == {"backbone", "head"}


def test_init_from_takes_the_network_and_a_fresh_head(finished, tmp_path):
    _, weights = read_weights(finished / "checkpoints" / "generation_1")
    changes = {"chain__generations": 2, "optimizer__learning_rate": 1e-30}
    made = build(init__path=str(finished), data__space="2:1:80", **changes)
    backbone, model_state = made.job.init.backbone
    assert_same(backbone, weights["params"]["backbone"])
    assert_same(model_state, weights["model_state"])  # of the teacher; training moves it on
    before = jax.tree.map(np.array, made.job.init.backbone)
    run(made, tmp_path / "run")
    assert_same(made.job.init.backbone, before)  # training has not written into it
    heads = []
    for generation in (1, 2):  # the paper's way: each generation starts from those weights
        _, after = read_weights(tmp_path / "run" / "checkpoints" / f"generation_{generation}")
        assert_same(after["params"]["backbone"], backbone)
        heads.append(after["params"]["head"]["logits"]["kernel"])
    assert (heads[0] != heads[1]).any()
    assert (heads[0] != weights["params"]["head"]["logits"]["kernel"]).any()


def test_init_from_another_network(finished):
    with pytest.raises(ConfigError, match=r"^init\.path: .* holds tiny, model\.name is resnet10"):
        build(init__path=str(finished), model__name="resnet10")


def test_init_from_a_damaged_run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "checkpoints" / "generation_1")
    with pytest.raises(ValueError, match="generation_1 holds no checkpoint that can be read"):
        build(init__path=str(tmp_path / "copy"))


def test_init_from_a_run_that_is_not_finished(tmp_path):
    with pytest.raises(ConfigError, match=r"^init\.path: .* a run with a finished generation"):
        build(init__path=str(tmp_path))


def test_the_pictures_are_normalised_as_the_networks_were(tmp_path, finished, write_checkpoint):
    _, weights = read_weights(finished / "checkpoints" / "generation_1")
    stored = Preprocessing(64, 64, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 0.5, "bgr")
    weights = Weights(weights["params"], weights["model_state"])
    folder = tmp_path / "stored"
    write_checkpoint(folder, weights, preprocessing=stored)
    job = build(init__path=str(folder)).job
    assert job.data.preprocessing == dataclasses.replace(stored, stored_size=32, size=32, crop=1.0)
    assert job.about.preprocessing == job.data.preprocessing


def test_a_frozen_network_stays_through_a_whole_run(finished, tmp_path):
    made = build(init__path=str(finished), init__freeze=True, optimizer__learning_rate=0.1)
    run(made, tmp_path / "run")
    _, after = read_weights(tmp_path / "run" / "checkpoints" / "generation_1")
    assert_same((after["params"]["backbone"], after["model_state"]), made.job.init.backbone)
    fresh = programs.first_state(made.job, 1, None).weights.params["head"]
    assert (after["params"]["head"]["logits"]["kernel"] != fresh["logits"]["kernel"]).any()


def test_frozen_blocks_stay_through_a_whole_run(finished, tmp_path):
    changes = {"init__path": str(finished), "optimizer__learning_rate": 0.1}
    made = build(init__frozen_blocks=1, **changes)
    run(made, tmp_path / "run")
    _, after = read_weights(tmp_path / "run" / "checkpoints" / "generation_1")
    assert_same(after["params"]["backbone"], made.job.init.backbone[0])
    with pytest.raises(ConfigError, match=r"init\.frozen_blocks: .* at most 1, .*tiny, got 2"):
        build(init__frozen_blocks=2, **changes)


def test_slower_layers_learn_less_in_a_run(finished, tmp_path):
    changes = {"init__path": str(finished), "optimizer__learning_rate": 1e-3}
    moved = {}
    for name, slower in (("fast", {}), ("slow", {"init__layer_decay": 0.01})):
        made = build(**changes, **slower)
        run(made, tmp_path / name)
        _, after = read_weights(tmp_path / name / "checkpoints" / "generation_1")
        kernels = [
            t["dense"]["kernel"] for t in (after["params"]["backbone"], made.job.init.backbone[0])
        ]
        moved[name] = np.abs(kernels[0] - kernels[1]).max()
    assert 0 < moved["slow"] < 0.1 * moved["fast"]


def test_networks_of_one_size_are_built_for_the_pictures():
    made = build(model__name="ssrnet", data__size=40)
    assert made.job.model.size == 40
    assert made.job.about.model == {"name": "ssrnet", "dtype": "float32", "size": 40}
