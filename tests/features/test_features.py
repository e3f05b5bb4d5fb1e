"""Features once: runs on them are runs on the whole network, and their files are safe."""

import dataclasses
import json
import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import ldl_jax
from ldl_jax import methods
from ldl_jax.data.augment.augmentation import Recipe
from ldl_jax.data.augment.mixup import CMixup
from ldl_jax.data.augment.views import Views, draw
from ldl_jax.evaluation import evaluate, predictions
from ldl_jax.features.compute import Extractor
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import deep
from ldl_jax.run import candidates, experiment, features, feeding, model_answers, sweep, sweeping
from ldl_jax.run import config as schema
from ldl_jax.run.config import ConfigError
from ldl_jax.run.data import read_records
from ldl_jax.run.shared import Shared
from ldl_jax.train import backbone, generations, programs
from ldl_jax.train.checkpoint import read, read_weights
from ldl_jax.train.intact import saved_in
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.together import replicas
from ldl_jax.train.together.group import Replica, Replicas
from ldl_jax.workdir import Workdir

pytestmark = pytest.mark.usefixtures("tiny_network")
COUNT = 40


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


def make_config(**changes):
    config = schema.defaults()
    config.data.synthetic_count = COUNT
    config.data.size = 32
    config.data.space = "2:1:80"
    config.model.name = "tiny"
    config.model.hidden = (8,)
    config.model.hidden_dropout = 0.25
    config.model.standardise = True
    config.init.path = "random:"
    config.init.freeze = config.init.features = True
    config.batch_size = 8
    config.epochs = 2
    config.evaluation.batch_size = 8
    config.chain.generations = 2
    for key, value in changes.items():
        *path, last = key.split("__")
        section = config
        for name in path:
            section = section[name]
        section[last] = value
    return schema.parse(config)


def build(log=lambda text: None, workdir=None, like=None, **changes):
    config = make_config(**changes)
    return experiment.build(config, log, devices=1, workdir=workdir, like=like)


def run(made, path, interrupt=None, watcher=None):
    with Workdir(path, made.description, lambda *descriptions: None) as workdir:
        for name, content in made.files.items():
            workdir.keep(name, content)
        return generations.run(made.job, workdir, interrupt or Interrupt(), watcher or Silent())


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_network):
    """The workdir of a run of two generations, and its experiment."""
    path = tmp_path_factory.mktemp("finished") / "run"
    made = build(workdir=path)
    run(made, path)
    return path, made


# A run, and its answers.


def test_a_finished_run_answers_pictures_as_its_own_test_did(finished):
    path, made = finished
    predictor = ldl_jax.load(path)
    part = made.job.data.test.part
    answer = predictor.answer(np.stack([part.picture(row) for row in range(len(part))]))
    tested = predictions.read(path / "predictions" / "generation_2.csv")
    np.testing.assert_allclose(answer.value, tested.values, atol=1e-4)
    np.testing.assert_allclose(answer.probs, tested.probs, atol=1e-6)
    one = predictor.answer(part.picture(3)[None])
    np.testing.assert_allclose(one.value[0], tested.values[3], atol=1e-4)


def test_a_finished_run_is_scored_from_the_features_that_it_kept(finished, tmp_path, monkeypatch):
    path, _ = finished
    kept, config = tmp_path / "run", make_config()
    shutil.copytree(path, kept)
    own = predictions.read(path / "predictions" / "generation_2.csv")

    def answers(folder, config, lines):
        (candidate,) = candidates.load_all([folder], (), lines.append)
        records = read_records(candidate.as_trained(config.data))
        rows = np.array([records.ids.index(name) for name in own.ids])
        quiet = lines.append, lambda *_: None
        return model_answers.answers_of(candidate, config, records, rows, *quiet)

    lines = []
    with monkeypatch.context() as patch:
        patch.setattr(feeding, "feeds_of", lambda *_: pytest.fail("pictures were read"))
        of_features = answers(kept, config, lines)
    assert any(f"features of all {len(own)} pictures are kept in {kept}" in x for x in lines)
    np.testing.assert_allclose(of_features.values, own.values, rtol=1e-6)
    np.testing.assert_allclose(of_features.probs, own.probs, atol=1e-6)
    assert of_features.subjects == own.subjects
    for damage in (lambda file: file.write_bytes(b"x"), lambda file: file.unlink()):
        for file in files(kept):
            damage(file)
        lines.clear()
        whole = answers(kept, config, lines)
        assert not any("are kept in" in line for line in lines)
        np.testing.assert_allclose(whole.values, own.values, rtol=1e-3)
    (kept / "config.json").write_text("{")  # of such a run nothing is known
    np.testing.assert_allclose(answers(kept, config, []).values, own.values, rtol=1e-3)


def test_the_checkpoint_names_the_network_and_holds_the_head_alone(finished):
    path, made = finished
    about, weights = read_weights(path / "checkpoints" / "generation_2")
    assert about.backbone == made.frozen.backbone
    assert (about.hidden, about.standardised) == ((8,), True)
    assert not jax.tree.leaves(weights["params"]["backbone"])
    assert set(weights["params"]["head"]) >= {"hidden1", "logits"}
    train = made.job.data.train.part.features
    mean, deviation = weights["model_state"]["mean"], weights["model_state"]["deviation"]
    np.testing.assert_allclose(mean, train.mean((0, 1)), atol=1e-6)
    alive = train.std((0, 1)) > 1e-6
    np.testing.assert_allclose(deviation[alive], train.std((0, 1))[alive], rtol=1e-5)
    about, weights = read(path)
    assert about.backbone == ""
    assert set(weights["params"]["backbone"]) == {"dense", "norm"}


def test_the_features_are_the_networks(finished):
    _, made = finished
    part, model = made.job.data.test.part, made.network
    images = jnp.stack([part.picture(row) for row in range(4)]).astype(jnp.float32)
    inputs = (images - 127.5) / 127.5
    network = ldl_jax.models.build("tiny")
    for view, pictured in enumerate((inputs, inputs[:, :, ::-1])):
        features, _ = network.apply(model.params, model.model_state, pictured, train=False)
        np.testing.assert_allclose(part.features[:4, view], features, atol=1e-5)


def test_a_run_without_its_network_names_the_file(finished, tmp_path):
    path, _ = finished
    generation = path / "checkpoints" / "generation_2"
    copy = tmp_path / "copy"
    step = max(saved_in(generation), key=lambda folder: int(folder.name))
    copy.mkdir()
    for source in (step, step.with_name(f"{step.name}.sha256")):
        copied = shutil.copy if source.is_file() else shutil.copytree
        copied(source, copy / source.name)
    with pytest.raises(ValueError, match=r"backbone\.safetensors, which is not there"):
        ldl_jax.load(copy)
    content = (path / backbone.NAME).read_bytes()
    (copy / backbone.NAME).write_bytes(content)
    assert ldl_jax.load(copy).about.hidden == (8,)
    (copy / backbone.NAME).write_bytes(content[:-8])
    with pytest.raises(ValueError, match=r"backbone\.safetensors is damaged"):
        ldl_jax.load(copy)
    (copy / backbone.NAME).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match="damaged, or holds another network"):
        ldl_jax.load(copy)


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_every_method_has_a_deep_head(name):
    method = methods.get(name, space=LabelSpace.range(2, 10), counts=jnp.ones(9))
    deep = method.deepened((6, 4), 0.5, standardised=True)
    for width in (5, {"b": 3, "a": 2}):
        params = deep.head.init(jax.random.key(0), width)
        features = jax.tree.map(lambda size: jnp.ones((3, size)), width)
        outputs = deep.head.apply(params, features)
        shapes = jax.tree.map(jnp.shape, outputs)
        plain = method.head.apply(method.head.init(jax.random.key(0), 4), jnp.ones((3, 4)))
        assert shapes == jax.tree.map(jnp.shape, plain)
        trained = deep.head.train(params, features, jax.random.key(1))
        assert jax.tree.map(jnp.shape, trained) == shapes
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(trained))


# The views.


def test_views_are_drawn_as_the_recipe_says():
    stored = jnp.broadcast_to(jnp.arange(4.0)[None, :, None], (4000, 4, 1))
    drawn = np.asarray(draw(jax.random.key(0), stored, Views(0.25, 2)))
    assert drawn.shape == (4000, 1, 1)
    shares = np.bincount(drawn.ravel().astype(int), minlength=4) / 4000
    np.testing.assert_allclose(shares, [0.25, 1 / 12, 1 / 3, 1 / 3], atol=0.03)
    still = np.asarray(draw(jax.random.key(0), stored[:, :3], Views(0.0, 2)))
    shares = np.bincount(still.ravel().astype(int), minlength=3) / 4000
    np.testing.assert_allclose(shares, [1 / 3] * 3, atol=0.03)


def test_crops_are_drawn_as_often_as_the_picture():
    stored = jnp.broadcast_to(jnp.arange(5.0)[None, :, None], (6000, 5, 1))
    drawn = np.asarray(draw(jax.random.key(0), stored, Views(0.25, 1, crops=2)))
    shares = np.bincount(drawn.ravel().astype(int), minlength=5) / 6000
    np.testing.assert_allclose(shares, np.array([0.75, 0.25, 0.75, 0.25, 1]) / 3, atol=0.03)
    still = np.asarray(draw(jax.random.key(0), stored[:, :3], Views(0.0, 1, crops=2)))
    shares = np.bincount(still.ravel().astype(int), minlength=3) / 6000
    np.testing.assert_allclose(shares, [1 / 3] * 3, atol=0.03)


def test_a_head_with_crops_answers_pictures_as_its_own_test_did(tmp_path):
    made = build(workdir=tmp_path / "run", evaluation__crops=(1.0, 0.6), chain__generations=1)
    run(made, tmp_path / "run")
    part = made.job.data.test.part
    assert part.features.shape[1] == made.job.data.train.part.features.shape[1] == 4
    answer = ldl_jax.load(tmp_path / "run").answer(
        np.stack([part.picture(row) for row in range(8)])
    )
    tested = predictions.read(tmp_path / "run" / "predictions" / "generation_1.csv")
    np.testing.assert_allclose(answer.value, tested.values[:8], atol=1e-4)
    np.testing.assert_allclose(answer.probs, tested.probs[:8], atol=1e-6)


def test_augmented_views_are_of_the_training_part_and_stay(tmp_path):
    changes = {"init__features_views": 2, "augment__flip": 0.0}
    made = build(workdir=tmp_path, **changes)
    assert made.job.data.train.part.features.shape[1] == 3
    assert made.job.data.test.part.features.shape[1] == 2
    again = build(**changes)  # without a folder, so computed anew
    first, second = (x.job.data.train.part.features for x in (made, again))
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert (np.abs(first[:, 1] - first[:, 2]).max(axis=1) > 1e-4).all()
    more = build(workdir=tmp_path, init__features_views=3, augment__flip=0.0)
    np.testing.assert_array_equal(more.job.data.train.part.features[:, :3], first)


# The files.


def test_views_do_not_depend_on_how_batches_are_mixed(finished):
    _, made = finished
    recipes = Recipe(), Recipe(mixup=CMixup(alpha=2.0)), Recipe(scale=(0.5, 1.0))
    preprocessing = made.job.about.preprocessing
    names = [
        Extractor(made.job.model, ({}, {}), preprocessing, recipe).augmented(1)
        for recipe in recipes
    ]
    assert names[0] == names[1] != names[2]


def files(path):
    return sorted(path.glob("features/tiny-*/*.safetensors"))


def test_features_are_computed_once(tmp_path):
    lines = []
    build(lines.append, workdir=tmp_path)
    assert any("30 to compute" in line for line in lines), lines
    lines.clear()
    other = build(lines.append, workdir=tmp_path, method__name="dldl", seed=1, data__seed=0)
    assert not any("to compute" in line for line in lines), lines
    assert other.job.data.train.part.features.any()


def test_damaged_features_are_named_and_computed_again(tmp_path):
    first = build(workdir=tmp_path)
    whole, cut = files(tmp_path)
    content = whole.read_bytes()
    whole.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    cut.write_bytes(cut.read_bytes()[:50])
    lines = []
    again = build(lines.append, workdir=tmp_path)
    for path in (whole, cut):
        assert any(str(path) in line and "damaged" in line for line in lines)
    for part in ("train", "test"):
        ours, theirs = (getattr(x.job.data, part).part.features for x in (first, again))
        np.testing.assert_array_equal(ours, theirs)
    assert len(files(tmp_path)) == 2


def test_features_of_another_preprocessing_are_named(tmp_path):
    build(workdir=tmp_path)
    lines = []
    build(lines.append, workdir=tmp_path, data__mean=(0.0, 0.0, 0.0))
    assert any("others, not taken" in line and "preprocessing.mean" in line for line in lines)
    assert any("30 to compute" in line for line in lines)


def test_a_stopped_computing_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("ldl_jax.features.compute._FILE", 8)
    monkeypatch.setattr("ldl_jax.features.compute._BATCH", {"cpu": 8})
    calls = []

    def stop():
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt

    resolved = experiment.resolve(make_config(), 1)
    with pytest.raises(KeyboardInterrupt):
        experiment.make(resolved, lambda text: None, workdir=tmp_path, stop=stop)
    lines = []
    build(lines.append, workdir=tmp_path)
    assert any("16 of 30 pictures known, 14 to compute" in line for line in lines), lines


# Runs together, and those that go on.


def test_seeds_as_replicas_are_the_runs_alone(tmp_path):
    changes = {"model__hidden_dropout": 0.0, "epochs": 1, "optimizer__learning_rate": 0.01}
    points = sweep.points(dataclasses.replace(make_config(**changes), sweep=({"seed": (0, 1)},)))
    made = []
    for point in points:
        like = made[0] if made else None
        made.append(experiment.build(point.config, lambda text: None, devices=1, like=like))
    assert made[0].job.data.train is made[1].job.data.train
    jobs = [Replica(point.name, x.job, {}) for point, x in zip(points, made, strict=True)]
    whole = Replicas(
        tuple(jobs), experiment.rebuild(points[0].config, made[0].job), tuple(jax.devices()[:1])
    )
    folders = [Workdir(tmp_path / p.name, x.description) for p, x in zip(points, made, strict=True)]
    with folders[0], folders[1], Interrupt() as interrupt:
        assert not replicas.run(whole, folders, interrupt, Silent())
    run(made[1], tmp_path / "alone")
    for generation in (1, 2):
        trees = [
            read_weights(folder / "checkpoints" / f"generation_{generation}")[1]
            for folder in (tmp_path / points[1].name, tmp_path / "alone")
        ]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *trees)


def test_sweeps_share_features_and_the_figures_are_of_one_seed(tmp_path, monkeypatch):
    drawn, computed = [], []
    monkeypatch.setattr("ldl_jax.workdir.folder._LARGE", 1)
    monkeypatch.setattr(sweeping.jobs.gallery, "draw", lambda path, *_: drawn.append(path.parent))
    of_features = features.features_of
    monkeypatch.setattr(
        features, "features_of", lambda *rest: computed.append(0) or of_features(*rest)
    )
    shared, console = Shared(), Console(quiet=True)
    changes = {"epochs": 1, "chain__generations": 1, "replicas": "one_by_one"}
    for name, shown in (("first", True), ("second", False)):
        config = dataclasses.replace(make_config(**changes), sweep=({"seed": (0, 1)},))
        checked = sweeping.check(config, tmp_path / name, read_records, shared)
        sweeping.run(checked, console, shown=shown)
        for seed in (0, 1):
            folder = tmp_path / name / "runs" / f"seed={seed}"
            assert (folder / "generation_1.json").exists()
            assert (folder / "analysis" / "generation_1.json").exists() == shown
        networks = (tmp_path / name / "runs").glob("*/backbone.safetensors")
        assert len({file.stat().st_ino for file in networks}) == 1  # the disk has it once
    assert drawn == [tmp_path / "first" / "runs" / "seed=0"]
    assert len(computed) == 2  # those of training and of test, once


class Stopping(Silent):
    """Sends SIGTERM after some steps."""

    def __init__(self, steps):
        self.left = steps

    def step(self, epoch):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_stopped_run_goes_on_and_ends_bit_by_bit_the_same(finished, tmp_path):
    """In a third generation, whose teacher is read from its checkpoint."""
    folders = tmp_path / "stopped", tmp_path / "straight"
    for folder in folders:
        shutil.copytree(finished[0], folder)
    made = build(workdir=folders[0], chain__generations=3)
    with pytest.raises(Interrupted), Interrupt() as interrupt:
        run(made, folders[0], interrupt, Stopping(4))
    for folder in folders:
        assert len(run(made, folder)) == 3
    trees = [read_weights(folder / "checkpoints" / "generation_3")[1] for folder in folders]
    jax.tree.map(np.testing.assert_array_equal, *trees)


def test_init_takes_the_network_of_a_run_on_features(finished):
    path, made = finished
    whole = {"init__freeze": False, "init__features": False, "model__standardise": False}
    other = build(init__path=str(path), **whole)
    params, _ = other.job.init.backbone
    jax.tree.map(np.testing.assert_array_equal, params, made.network.params)


def test_the_head_of_a_run_on_features_goes_on(finished):
    """On features it keeps its statistics; on the whole network its first layer takes them in."""
    path, _ = finished
    changes = {"init__path": str(path), "init__head": True}
    _, weights = read_weights(path / "checkpoints" / "generation_2")
    again = build(**changes, data__validation_fraction=0.25)
    jax.tree.map(np.testing.assert_array_equal, again.job.init.backbone[1], weights["model_state"])
    whole = build(**changes, init__freeze=False, init__features=False, model__standardise=False)
    tested = predictions.read(path / "predictions" / "generation_2.csv")
    for job in (again.job, whole.job):
        _, steps = programs.jitted(job)
        first = programs.first_state(job, 1, None).weights
        answers = evaluate.evaluate(steps.test, first, job.data.test, job.method.space, 8)
        rows = [answers.ids.index(name) for name in tested.ids if name in answers.ids]
        known = [row for row, name in enumerate(tested.ids) if name in answers.ids]
        assert len(rows) > 2
        np.testing.assert_allclose(answers.values[rows], tested.values[known], atol=1e-3)
    with pytest.raises(ConfigError, match=r"holds another head .* model\.hidden=\(8,\)"):
        build(**changes, model__hidden=(4,))


def test_a_head_without_hidden_layers_keeps_its_statistics():
    head = {"input": {"mean": np.zeros(2), "deviation": np.ones(2)}, "logits": {}}
    with pytest.raises(ValueError, match="has no hidden layer"):
        deep.folded(head)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match=r"init\.features_cache: features cannot be kept in .*file"
    ):
        build(init__features_cache=str(tmp_path / "file"))


def test_a_deep_head_on_a_whole_network(tmp_path):
    whole = {"init__path": "", "init__freeze": False, "init__features": False}
    made = build(model__standardise=False, **whole)
    run(made, tmp_path / "run")
    predictor = ldl_jax.load(tmp_path / "run")
    part = made.job.data.test.part
    answer = predictor.answer(part.images)
    tested = predictions.read(tmp_path / "run" / "predictions" / "generation_2.csv")
    np.testing.assert_allclose(answer.value, tested.values, atol=1e-4)


# Bad input.


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"init__freeze": False}, r"init\.features: .* init\.freeze=true"),
        ({"init__path": ""}, r"init\.freeze: .* give init\.path"),
        ({"init__features_views": -1}, r"init\.features_views: expected 0 or more, got -1"),
        ({"init__features": False, "model__standardise": False, "init__features_views": 1},
         r"init\.features_views: .* init\.features=true"),
        ({"init__features": False, "model__standardise": False, "init__features_cache": "x"},
         r"init\.features_cache: .* init\.features=true"),
        ({"init__features": False}, r"model\.standardise: .* init\.features=true"),
        ({"model__hidden": (0,)}, r"model\.hidden: expected 1 or more, got 0"),
        ({"model__hidden": 8}, r"model\.hidden: expected units of layers, as \(8,\), got 8"),
        ({"model__hidden": ("a",)}, r"model\.hidden: expected int, got 'a'"),
        ({"model__hidden_dropout": 1.0}, r"model\.hidden_dropout: expected a rate in \[0, 1\)"),
        ({"init__features_views": 1, "augment__gridmask__probability": (0.0, 0.5)},
         r"init\.features_views: .* augment\.gridmask\.probability"),
    ],
)  # fmt: skip
def test_refuses(changes, says):
    with pytest.raises(ConfigError, match=says):
        make_config(**changes)


def test_features_that_are_not_finite_are_of_no_use(monkeypatch):
    broken = dataclasses.replace(
        ldl_jax.models.build("tiny"),
        apply=lambda *a, **options: (jnp.full((len(a[2]), 16), jnp.nan), {}),
    )
    monkeypatch.setitem(ldl_jax.models.MODELS, "broken", lambda dtype="float32": broken)
    with pytest.raises(ValueError, match="gives NaN or infinite features for 30 pictures"):
        build(model__name="broken")


def test_the_description_is_json_and_comes_back():
    made = build()
    assert schema.from_dict(
        {k: v for k, v in json.loads(json.dumps(made.description)).items() if k != "resolved"}
    ).model.hidden == (8,)
