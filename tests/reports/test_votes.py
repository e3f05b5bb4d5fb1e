"""Where people voted, the votes are the target: from a file or a drawing to what is learnt."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax import encodings, losses, methods
from ldl_jax.data.datasets import catalogue, prepared_index
from ldl_jax.data.feed.feeds import Part, feed
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits import cross
from ldl_jax.data.synthetic import faces
from ldl_jax.labels import AGE, LabelSpace
from ldl_jax.methods import Knowledge
from ldl_jax.placement import make_placement
from ldl_jax.run import votes

FIVE = LabelSpace.range(1, 5, unit="score")
TAKE = [name for name in methods.METHODS if "target" in methods.hyper_parameters(name)]
REFUSE = [name for name in methods.METHODS if name not in TAKE]
COUNTS = np.array([[0, 3, 10, 2, 0], [1, 0, 0, 0, 0], [0, 0, 4, 4, 8]], np.float32)


# From a file.


def listed(root, text, **options):
    for name in "abc":
        (root / f"{name}.jpg").touch()
    (root / "votes.csv").write_text(text)
    return catalogue.read("csv_folder", root, csv="votes.csv", unit="score", **options)


FILES = {
    "counts": "path,votes\na.jpg,0 3 10 2 0\nb.jpg,[1;0;0;0;0]\nc.jpg,0|0|4|4|8\n",
    "pairs": "path,votes\na.jpg,2:3 3:10 4:2\nb.jpg,1:1\nc.jpg,3:4 4:4 5:8\n",
    "a row a vote": "path,vote,rater\n"
    + "".join(
        f"{name}.jpg,{score},{rater}\n"
        for name, counts in zip("abc", COUNTS.astype(int), strict=True)
        for score, count in zip(range(1, 6), counts, strict=True)
        for rater in range(count)
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_csv_s_votes(tmp_path, kind):
    records = listed(tmp_path, FILES[kind], vote_values="1:1:5")
    assert records.ids == ("a.jpg", "b.jpg", "c.jpg")
    np.testing.assert_array_equal(records.vote_values, range(1, 6))
    np.testing.assert_array_equal(records.votes, COUNTS)
    single = [np.repeat(range(1, 6), counts.astype(int)) for counts in COUNTS]
    np.testing.assert_allclose(records.labels, [x.mean() for x in single], rtol=1e-6)
    np.testing.assert_allclose(
        records.sigma, [np.std(single[0], ddof=1), np.nan, np.std(single[2], ddof=1)], rtol=1e-6
    )


def test_a_label_and_a_sigma_that_are_given_stay(tmp_path):
    text = "path,label,sigma,votes\na.jpg,2.5,1.5,1 1 0 0 0\nb.jpg,,,1 1 0 0 0\nc.jpg,4,,\n"
    records = listed(tmp_path, text, vote_values="1:1:5")
    np.testing.assert_array_equal(records.labels, [2.5, 1.5, 4])
    np.testing.assert_allclose(records.sigma, [1.5, np.sqrt(0.5), np.nan], rtol=1e-6)
    np.testing.assert_array_equal(records.votes.sum(1), [2, 2, 0])


def test_all_that_is_wrong_with_votes_is_said_at_once(tmp_path):
    cells = ["1 2 3", "0 0 0 0 0", "1 -1 0 0 0", "2:1 2:3", "2:1 3", "many", "", "1 0 0 0 0"]
    rows = [f"a{i}.jpg,{cell}\n" for i, cell in enumerate(cells)]
    for i in range(len(cells)):
        (tmp_path / f"a{i}.jpg").touch()
    with pytest.raises(DataError) as error:
        listed(tmp_path, "path,votes\n" + "".join(rows), vote_values="1:1:5")
    lines = str(error.value).splitlines()
    expected = [
        "row 2: votes: has 3 counts, and there are 5 values, 1 to 5: is it of another label space?",
        "row 3: votes: all counts are 0",
        "row 4: votes: a count must not be negative, got -1",
        "row 5: votes: a value is there twice",
        "row 6: votes: expected value:count in every place, got '2:1 3'",
        "row 7: votes: must be a finite number, got 'many'",
        "row 8: has neither a label nor votes",
    ]
    assert len(lines) == 1 + len(expected)
    for line, says in zip(lines[1:], expected, strict=True):
        assert says in line


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (FILES["counts"], {}, r"row 2: votes: has 5 counts, and over which values is not known"),
        ("path,vote,label\na.jpg,1,2\na.jpg,2,3\n", {}, r"row 3: label is '3', and of the same"),
        ("path,vote,votes\na.jpg,1,1 2\n", {}, "has a column of counts, votes, and one of single"),
        ("path,vote\na.jpg,high\nb.jpg,2\n", {}, "row 2: vote must be a finite number, got 'high'"),
        (FILES["pairs"], {"vote_values": "five"}, "vote_values: expected low:step:high"),
    ],
)
def test_files_that_are_refused(tmp_path, text, options, says):
    with pytest.raises(DataError, match=says):
        listed(tmp_path, text, **options)


def test_a_column_of_another_meaning_is_left_unread(tmp_path):
    text = "path,label,votes\na.jpg,2,60\n"
    with pytest.raises(DataError, match=r'data.columns with \{"votes": ""\}'):
        listed(tmp_path, text)
    records = listed(tmp_path, text, columns={"votes": ""})
    assert (records.votes, records.labels.tolist()) == (None, [2])


def test_ava(tmp_path):
    (tmp_path / "images").mkdir()
    lists = tmp_path / "aesthetics_image_lists"
    for name in (953619, 953958, 954184):
        (tmp_path / "images" / f"{name}.jpg").touch()
    (tmp_path / "AVA.txt").write_text(
        "1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396\n"
        "2 953958 10 7 15 26 26 21 10 8 1 2 1 21 1396\n"
        "3 954184 0 0 4 8 41 56 10 3 4 0 0 0 1396\n"
        "4 954113 0 1 4 6 48 37 23 5 2 2 15 21 1396\n"
    )
    with pytest.raises(DataError, match="1 of 4 listed pictures do not exist"):
        catalogue.read("ava", tmp_path)
    whole = catalogue.read("ava", tmp_path, skip_missing=True)
    assert (len(whole), whole.split, whole.unit) == (3, (), "score")
    assert whole.notes[0].startswith("1 picture left out: they do not exist")
    first = np.array([0, 1, 5, 17, 38, 36, 15, 6, 5, 1])
    np.testing.assert_array_equal(whole.votes[0], first)
    np.testing.assert_allclose(whole.labels[0], first @ np.arange(1, 11) / first.sum(), rtol=1e-6)
    lists.mkdir()
    (lists / "generic_ls_train.jpgl").write_text("953619\n")
    (lists / "generic_test.jpgl").write_text("953958\n")
    records = catalogue.read("ava", tmp_path)
    assert records.split == ("train", "test")
    (tmp_path / "AVA.txt").write_text("1 953619 0 0 0 0 0 0 0 0 0 0 1 22 1396\n")
    with pytest.raises(DataError, match=r"AVA.txt row 1: counts of votes must not be negative"):
        catalogue.read("ava", tmp_path)


def test_appa_real_s_single_votes(tmp_path):
    header = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
    for part in ("train", "valid", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "1.jpg_face.jpg").touch()
        (tmp_path / f"gt_avg_{part}.csv").write_text(f"{header}1.jpg,3,30,1,29\n")
    assert catalogue.read("appa_real", tmp_path).votes is None
    for part in ("train", "valid", "test"):
        text = "file_name,real_age,apparent_age,worker_age\n1.jpg,29,29,40\n1.jpg,29,31,50\n"
        (tmp_path / f"gt_{part}.csv").write_text(text)
    records = catalogue.read("appa_real", tmp_path)
    np.testing.assert_array_equal(records.vote_values, [29, 31])
    np.testing.assert_array_equal(records.votes, np.ones((3, 2)))
    assert catalogue.read("appa_real", tmp_path, age="real").votes is None
    (tmp_path / "gt_valid.csv").write_text("file_name,apparent_age\n2.jpg,3\n")
    with pytest.raises(DataError, match=r"gt_avg_valid.csv row 2: 1.jpg has no vote in gt_valid"):
        catalogue.read("appa_real", tmp_path)


# Through the house.


@pytest.fixture(scope="module")
def rated():
    return faces.faces(12, 32, kind="attractiveness", raters=60)


def test_the_drawn_attractiveness_has_its_raters_votes(rated):
    np.testing.assert_array_equal(rated.vote_values, range(1, 6))
    np.testing.assert_array_equal(rated.votes.sum(1), np.full(12, 60))
    np.testing.assert_allclose(rated.votes @ np.arange(1, 6) / 60, rated.labels, rtol=1e-6)
    np.testing.assert_array_equal(rated.take(np.array([3, 1])).votes, rated.votes[[3, 1]])


def test_votes_are_counted_for_the_label_space(rated):
    fine = LabelSpace.range(1, 5, 0.5, unit="score")
    counted = votes.counted(rated, np.array([2, 5]), fine)
    np.testing.assert_array_equal(counted[:, ::2], rated.votes[[2, 5]])
    assert not counted[:, 1::2].any()
    assert votes.counted(rated, np.arange(3), AGE) is not None  # 1 to 5 are ages, too
    assert votes.counted(rated, np.arange(3), LabelSpace.range(20, 30)) is None
    np.testing.assert_allclose(votes.shares(counted).sum(1), 1, rtol=1e-6)
    assert np.isnan(votes.shares(np.zeros((1, 3), np.float32))).all()


def test_a_row_without_votes_and_votes_beyond_the_space_are_named(rated):
    lost = rated.votes.copy()
    lost[[1, 4]] = 0
    records = Records(
        **{**vars(rated), "votes": lost, "sources": tuple(f"a.csv row {i}" for i in range(12))}
    )
    with pytest.raises(DataError) as error:
        votes.check(records, np.arange(6), FIVE)
    assert [line.strip(" -") for line in str(error.value).splitlines()] == [
        "synthetic: 2 faults",
        "a.csv row 1: has no votes, and method.target is 'votes'",
        "a.csv row 4: has no votes, and method.target is 'votes'",
    ]
    with pytest.raises(DataError, match=r"beyond the label space 1 to 3 score"):
        votes.check(rated, np.arange(12), LabelSpace.range(1, 3, unit="score"))
    with pytest.raises(DataError, match=r"no votes are known, and method.target is 'votes'"):
        votes.check(Records(**{**vars(rated), "votes": None}), np.arange(3), FIVE)


def test_two_sets_votes_are_over_the_values_of_both(rated):
    other = Records(**{**vars(rated), "vote_values": np.float32([3, 4, 5, 6, 7])})
    both = cross.combine(rated, other)
    np.testing.assert_array_equal(both.vote_values, range(1, 8))
    np.testing.assert_array_equal(both.votes[:12, :5], rated.votes)
    np.testing.assert_array_equal(both.votes[12:, 2:], rated.votes)
    assert not both.votes[12:, :2].any()


def test_a_prepared_set_keeps_them(rated):
    stored = prepared_index.to_arrays(rated)
    read = prepared_index.from_arrays(stored, [b""] * len(rated))
    np.testing.assert_array_equal(read.votes, rated.votes)
    np.testing.assert_array_equal(read.vote_values, rated.vote_values)
    other = Records(**{**vars(rated), "votes": rated.votes[::-1]})
    assert prepared_index.fingerprint(other) != prepared_index.fingerprint(rated)


@pytest.mark.parametrize("stream", [False, True])
def test_a_batch_has_its_pictures_votes(rated, stream):
    part = Part(rated.ids, rated.labels, rated.sigma, 32, images=rated.images, votes=rated.votes)
    placement = make_placement(1)
    fed = feed(part, placement.place, placement.device_put, stream=stream)
    rows = np.array([[3, 0, 7], [1, 2, 5]])
    for row, item in zip(rows, fed.items(rows, 0), strict=True):
        batch = fed.fetch(fed.store, item)
        np.testing.assert_array_equal(batch["votes"], rated.votes[row])
        np.testing.assert_array_equal(batch["images"], rated.images[row])


# In the methods.


def batch_of(method):
    labels = COUNTS @ np.asarray(FIVE.values, np.float32) / COUNTS.sum(1)
    return {
        "labels": jnp.asarray(labels),
        "sigma": jnp.full(3, jnp.nan),
        "votes": jnp.asarray(COUNTS),
    }


def outputs_of(method, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"logits": 5, "rank_logits": 4}
    sizes = {name: (3, size) for name, size in shapes.items()} | {"score": (3,)}
    return {name: jnp.asarray(rng.normal(size=s), jnp.float32) for name, s in sizes.items()}


def np_target(smoothing):
    shares = COUNTS / COUNTS.sum(1, keepdims=True).astype(np.float64)
    if smoothing == 0:
        return shares
    values = np.asarray(FIVE.values)
    kernel = np.exp(-((values[:, None] - values[None]) ** 2) / (2 * smoothing**2))
    return shares @ (kernel / kernel.sum(1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.7])
@pytest.mark.parametrize("name", TAKE)
def test_the_votes_are_the_target_of_every_method_that_takes_one(name, smoothing):
    method = methods.get(
        name, space=FIVE, counts=np.full(5, 3), target="votes", target_smoothing=smoothing
    )
    assert method.needs == ("votes",)
    batch, outputs = batch_of(method), outputs_of(method)
    target = np_target(smoothing)
    encoded = method.encode(batch["labels"], batch["sigma"], batch["votes"])
    above = target[:, ::-1].cumsum(1)[:, ::-1][:, 1:]
    expected = above if encoded.shape[1] == 4 else target
    np.testing.assert_allclose(encoded, expected, rtol=1e-5, atol=1e-6)
    # Where the outputs are the votes themselves, no other outputs cost less.
    knowledge = Knowledge(jnp.asarray(target, jnp.float32), jnp.zeros(3))
    for known in (None, knowledge):
        loss = method.loss(outputs, batch, known)
        assert loss.shape == (3,)
        assert np.isfinite(loss).all()
    if name in ("dex", "dldl", "emd", "hl_gauss", "soft_labels", "sord"):
        best = method.loss({**outputs, "logits": jnp.log(jnp.asarray(target + 1e-9))}, batch)
        assert (np.asarray(best) <= np.asarray(method.loss(outputs, batch)) + 1e-5).all()


def test_the_losses_are_those_of_the_votes():
    outputs, target = outputs_of(None), np_target(0.0).astype(np.float32)

    def loss(name, knowledge=None, **given):
        method = methods.get(name, space=FIVE, target="votes", **given)
        return method.loss(outputs, batch_of(method), knowledge)

    x = outputs["logits"]
    np.testing.assert_allclose(loss("dex"), losses.cross_entropy(x, target), rtol=1e-6)
    np.testing.assert_allclose(loss("dldl"), losses.kl_divergence(x, target), rtol=1e-6)
    np.testing.assert_allclose(loss("emd"), losses.squared_emd(x, target), rtol=1e-6)
    label = encodings.normalised(batch_of(None)["labels"], FIVE)
    first = losses.cross_entropy(x, target) + 4 * losses.l1(outputs["score"], label)
    np.testing.assert_allclose(loss("cen"), first, rtol=1e-6)
    known = Knowledge(jnp.full((3, 5), 0.2), jnp.full(3, 0.1))
    taught = losses.cross_entropy(x / 2, known.probs)
    later = 0.5 * taught + 0.5 * losses.cross_entropy(x, target)
    later += 4 * losses.slack_l1(outputs["score"], label, known.slack)
    np.testing.assert_allclose(loss("cen", known), later, rtol=1e-6)


@pytest.mark.parametrize("target", ["gaussian", "laplace", "one_hot", "two_hot", "triangular"])
def test_another_encoding_is_a_target_too(target):
    method = methods.get("dex", space=FIVE, target=target)
    batch = batch_of(method)
    encoded = method.encode(batch["labels"], batch["sigma"])
    expected = (
        encodings.gaussian(batch["labels"], FIVE, 2.0)
        if target == "gaussian"
        else getattr(encodings, target)(batch["labels"], FIVE)
    )
    np.testing.assert_array_equal(encoded, expected)
    assert method.needs == ()
    dldl = methods.get("dldl", space=FIVE, sigma=0.7)
    given = methods.get("dldl", space=FIVE, sigma=0.7, target="gaussian")
    outputs = outputs_of(method)
    np.testing.assert_array_equal(dldl.loss(outputs, batch), given.loss(outputs, batch))


@pytest.mark.parametrize("name", REFUSE)
def test_a_method_that_takes_none_refuses_votes_by_name(name):
    says = f"method.target: '{name}' takes no given distribution.*those that take one: .*dldl"
    with pytest.raises(ValueError, match=says):
        methods.get(name, space=FIVE, counts=np.full(5, 3), target="votes")


def test_settings_that_are_refused():
    with pytest.raises(ValueError, match=r"method.target: expected one of own, votes, gaussian"):
        methods.get("dex", space=FIVE, target="vote")
    with pytest.raises(ValueError, match=r"method.target_smoothing: smooths votes, so it needs"):
        methods.get("dex", space=FIVE, target_smoothing=1.0)
    with pytest.raises(ValueError, match=r"method.target_smoothing: .*at least 0, got -1"):
        methods.get("dex", space=FIVE, target="votes", target_smoothing=-1.0)
    method = methods.get("dex", space=FIVE, target="votes")
    with pytest.raises(ValueError, match="votes: the target is the votes"):
        method.encode(jnp.zeros(3), jnp.zeros(3))


def test_a_checkpoint_from_before_there_were_targets_is_read():
    for name in TAKE:
        old = dict(methods.get(name, space=FIVE).hyper_parameters)
        del old["target"], old["target_smoothing"]
        made = methods.get(name, space=FIVE, **json.loads(json.dumps(old)))
        assert made.hyper_parameters["target"] == "own"
    slope = {"distance": "absolute", "slope": 0.5, "decode": "expectation", "alpha": 0.25}
    slope |= {"temperature": 2.0, "scale_by_temperature_squared": False}
    sord = methods.get("sord", space=FIVE, **slope)
    assert (sord.hyper_parameters["alpha"], sord.hyper_parameters["transfer_alpha"]) == (0.5, 0.25)
