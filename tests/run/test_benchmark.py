"""A benchmark on drawn faces in small: its page, what is kept, and what is refused before it."""

import dataclasses
import io
import json
import signal
import types

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from configs.benchmarks import aaf, cen_aaf, drawn, scut_fbp5500
from ldl_jax import methods
from ldl_jax.data.synthetic import faces
from ldl_jax.labels import LabelSpace
from ldl_jax.predict import peers
from ldl_jax.run import benchmark, benchmark_runs, benchmark_table, benchmarking, sweep
from ldl_jax.run.config import ConfigError
from ldl_jax.train.interrupt import Interrupted


def small():
    """Two methods and two seeds as heads on the features of a random network."""
    config = drawn.get_config()
    config.data.synthetic_count = 80
    part = config.parts.scratch
    part.pretrained = True
    config.weights = "random:"
    run = part.run
    run.init.freeze = run.init.features = True
    run.epochs = 2
    run.optimizer.name, run.optimizer.schedule = "sgd", "constant"  # which promote no dtype
    run.batch_size = run.evaluation.batch_size = 16
    return config


def go(config, path, minutes=None, only=(), earlier=None):
    shown = benchmark.parse(config, training=False)
    wanted = benchmark.parse(config, only, training=minutes != 0)
    return benchmarking.run(shown, wanted, path, minutes, Console(quiet=True), earlier=earlier)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A benchmark that was stopped after its first row, and gone on with."""
    path = tmp_path_factory.mktemp("bench") / "out"
    assert not go(small(), path, minutes=0)
    empty = (path / "benchmark.md").read_text()
    train = benchmark_runs.train

    def stopped(bench, unit, *others):
        if unit.row == "dex":
            raise Interrupted(signal.SIGINT, 1, 3)
        train(bench, unit, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark_runs, "train", stopped)
        with pytest.raises(Interrupted):
            go(small(), path)
    half = (path / "benchmark.md").read_text()
    assert go(small(), path)
    return path, empty, half


def test_pages_say_what_is_not_computed_yet(finished):
    path, empty, half = finished
    assert "Nothing of this part is computed yet." in empty
    assert "Not computed yet: dldl_v2, dex." in empty
    assert "Not computed yet: dex." in half
    assert "| dldl_v2 \\* | 2 |" in half
    whole = (path / "benchmark.md").read_text()
    assert "Not computed yet" not in whole
    assert whole.startswith("# Drawn faces\n")
    assert "learning_rate 0.00" in whole
    assert (path / "differences.png").stat().st_size > 1000
    page = (path / "benchmark.html").read_text()
    assert page.count("<tr>") == 3
    assert "data:image/png;base64," in page


def test_the_numbers_are_those_of_the_runs(finished):
    path, _, _ = finished
    rows = json.loads((path / "benchmark.json").read_text())["parts"]["scratch"]["rows"]
    for row in rows:
        folder = path / "runs" / "scratch" / row["row"]
        runs = sorted((folder / "seeds" / "runs").iterdir())
        expected = [json.loads((run / "generation_1.json").read_text())["mae"] for run in runs]
        np.testing.assert_allclose(row["metrics"]["mae"], expected, rtol=1e-4)
        chosen = json.loads((folder / "chosen.json").read_text())["0"]
        best = min(chosen["mae"], key=chosen["mae"].get)
        rate = chosen["values"]["optimizer.learning_rate"]
        assert best == f"learning_rate={rate:g}"
        choice = folder / "choice" / "runs" / best / "split.json"
        split, final = (json.loads(p.read_text()) for p in (choice, runs[0] / "split.json"))
        assert sorted(split["train"] + split["validation"]) == sorted(final["train"])
        assert split["test"] == final["test"]
    assert [("difference" in row) for row in rows] == [row["row"] == "dex" for row in rows]


def test_a_finished_benchmark_trains_nothing(finished, monkeypatch):
    path, _, _ = finished
    monkeypatch.setattr(benchmark_runs, "train", None)
    before = (path / "benchmark.json").read_text()
    assert go(small(), path)
    assert (path / "benchmark.json").read_text() == before


def test_the_pace_is_that_of_rows_that_find_what_all_share(tmp_path, monkeypatch):
    config, seconds, printed = small(), [0.0], io.StringIO()
    config.parts.scratch.methods = ("dldl_v2", "dex", "crps")
    took = iter((960.0, 40.0, 80.0))  # the first row computes features
    clock = types.SimpleNamespace(monotonic=lambda: seconds[0])
    monkeypatch.setattr(benchmarking, "time", clock)

    def train(*arguments):
        seconds[0] += next(took)

    monkeypatch.setattr(benchmark_runs, "train", train)
    bench = benchmark.parse(config)
    console = Console(file=printed, width=200)
    benchmarking.run(bench, bench, tmp_path / "out", None, console)
    lines = [line for line in printed.getvalue().splitlines() if "at this pace" in line]
    assert [line.split("; ")[1] for line in lines] == [
        "1 of 3 rows in 16 min, about 32 min left at this pace",
        "2 of 3 rows in 17 min, about 40 s left at this pace",
        "3 of 3 rows in 18 min, about 0 s left at this pace",
    ]


def test_an_earlier_page_fills_what_the_folder_has_nothing_of(finished, tmp_path):
    path, _, _ = finished
    earlier = benchmark_table.read(path / "benchmark.json")
    assert go(small(), tmp_path / "out", minutes=0, earlier=earlier)
    theirs, ours = (
        {name: (folder / f"benchmark.{name}").read_text() for name in ("md", "html", "json")}
        for folder in (path, tmp_path / "out")
    )
    tables = [json.loads(x["json"])["parts"] for x in (theirs, ours)]
    assert tables[0] == tables[1]
    assert theirs["md"][theirs["md"].index("## ") :] == ours["md"][ours["md"].index("## ") :]
    title = tables[0]["scratch"]["title"]
    assert f"s: {title}.\n" in ours["md"]
    for text in ("took 0 s in all", "From an earlier page, whose trainings took"):
        assert text in ours["md"]
        assert text in ours["html"]
    # What the folder has itself is never another page's.
    assert go(small(), path, minutes=0, earlier=earlier)
    assert "earlier page" not in (path / "benchmark.md").read_text()
    assert (path / "benchmark.json").read_text() == theirs["json"]


def test_a_page_of_before_references_were_kept(finished, tmp_path):
    path, _, _ = finished
    content = json.loads((path / "benchmark.json").read_text())
    for row in content["parts"]["scratch"]["rows"]:
        reference = row.pop("reference")
        if "difference" in row:
            row["difference"]["from"] = reference
        del row["error"]
    old = tmp_path / "benchmark.json"
    old.write_text(json.dumps(content))
    reference, other = benchmark_table.read(old).tables["scratch"].lines
    known = benchmark_table.read(path / "benchmark.json").tables["scratch"].lines
    assert (reference.reference, other.reference) == ("", "dldl_v2")
    for line, same in zip((reference, other), known, strict=True):
        np.testing.assert_allclose(line.error, same.error, rtol=1e-5)
        assert (line.difference, line.p) == (same.difference, same.p)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (("title",), "is of another benchmark: 'None', here 'Drawn faces'"),
        (("facts", 0), "is of another split: 'None', here 'Split: "),
        (("facts",), "no page of a benchmark"),
        (("parts",), "no page of a benchmark"),
        (("parts", "scratch", "rows"), "no page of a benchmark"),
        (("parts", "scratch", "rows", 0, "metrics"), "no page of a benchmark"),
        (("parts", "scratch", "rows", 0, "seconds"), "no page of a benchmark"),
        (("parts", "scratch", "rows", 0, "error"), "no page of a benchmark"),
        (("parts", "scratch", "rows", 1, "difference", "low"), "no page of a benchmark"),
    ],
)
def test_an_earlier_page_that_cannot_be_used(finished, tmp_path, keys, text):
    path, _, _ = finished
    content = json.loads((path / "benchmark.json").read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = None
    file = tmp_path / "page.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=text) as failed:
        go(small(), tmp_path / "out", earlier=benchmark_table.read(file))
    assert str(file) in str(failed.value)
    assert "\n" not in str(failed.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "text"), [("[1]", "no page"), ("{", "is not JSON"), ("{}", "no 'parts'")]
)
def test_a_file_that_is_no_page(tmp_path, content, text):
    file = tmp_path / "page.json"
    with pytest.raises(ValueError, match=f"--earlier: there is no file {file}"):
        benchmark_table.read(file)
    file.write_text(content)
    with pytest.raises(ValueError, match=text):
        benchmark_table.read(file)


def test_an_earlier_pages_numbers_are_finite(finished, tmp_path):
    path, _, _ = finished
    content = json.loads((path / "benchmark.json").read_text())
    row = content["parts"]["scratch"]["rows"][1]
    file = tmp_path / "page.json"
    for place, key, text in (
        (row["metrics"]["mae"], 0, "dex has a number that is not finite"),
        (row, "of", "no page of a benchmark"),
    ):
        whole, place[key] = place[key], float("inf")
        file.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=text):
            benchmark_table.read(file)
        place[key] = whole


def test_no_time_is_left(tmp_path):
    budget = benchmark_runs.Budget(1e-6)
    with budget.kept() as interrupt:
        signal.sigtimedwait([], 0.2)
        assert interrupt.check() == signal.SIGTERM
    assert budget.over
    assert not benchmark_runs.Budget(None).over


def changed(**keys):
    config = small()
    for key, value in keys.items():
        setattr(config, key, value)
    return config


@pytest.mark.parametrize(
    ("section", "keys", "text"),
    [
        ("part", {"methods": ("dldl_v2", "dlx")}, "parts.scratch.methods: unknown method 'dlx'"),
        ("part", {"reference": "cen"}, "parts.scratch.reference: expected one of dldl_v2, dex"),
        ("part", {"seeds": 0}, "parts.scratch.seeds: expected 1 or more, got 0"),
        ("part", {"grids": {"crps": {}}}, "parts.scratch.grids: there is no row 'crps'"),
        ("all", {"metrics": ("mae", "mad")}, "metrics: there is no 'mad'; there are balanced_mae"),
        ("all", {"metrics": ("accuracy",)}, "metrics: 'accuracy' is no metric of dldl_v2 on this"),
        ("all", {"select": "coverage90"}, "select: expected a metric that is to be more or less"),
        ("all", {"weights": ""}, "weights: parts.scratch starts from a trained network"),
    ],
)
def test_what_is_refused_before_the_first_run(tmp_path, section, keys, text):
    config = changed(**keys) if section == "all" else small()
    if section == "part":
        for key, value in keys.items():
            setattr(config.parts.scratch, key, value)
    with pytest.raises(ConfigError, match=text):
        go(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_part_and_peers_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match="--only: expected some of scratch, peers, got 'frozen'"):
        go(small(), tmp_path / "out", only=["frozen"])
    config = small()
    config.peers.files = {"SSR-Net": "imdb.h5"}
    with pytest.raises(ConfigError, match=r"peers\.root: give the folder of their files"):
        go(config, tmp_path / "out")
    config.peers.root = str(tmp_path)
    with pytest.raises(ConfigError, match=r"peers\.root: .* has no imdb\.h5"):
        go(config, tmp_path / "out", only=["peers"])
    assert not (tmp_path / "out").exists()


def test_the_peers_alone_train_nothing(tmp_path, monkeypatch):
    config = small()
    config.peers.files = {"SSR-Net": "imdb.h5"}
    config.peers.root = str(tmp_path)
    (tmp_path / "imdb.h5").touch()
    asked = []
    monkeypatch.setattr(benchmarking.benchmark_peers, "ask", lambda *rest: asked.append(rest[1]))
    assert not go(config, tmp_path / "out", only=["peers"])
    assert asked == ["SSR-Net"]
    assert not (tmp_path / "out/runs/scratch").exists()


def test_only_some_rows_are_trained_and_the_page_has_all(tmp_path, monkeypatch):
    trained, asked = [], []
    monkeypatch.setattr(benchmark_runs, "train", lambda bench, unit, *rest: trained.append(unit))
    monkeypatch.setattr(benchmarking.benchmark_peers, "ask", lambda *rest: asked.append(rest[1]))
    config = small()
    config.peers.root = str(tmp_path)
    for name in ("imdb.h5", "wiki.h5"):
        (tmp_path / name).touch()
    config.peers.files = {"IMDB": "imdb.h5", "WIKI": "wiki.h5"}
    out = tmp_path / "out"
    assert not go(config, out, only=["scratch:dex", "peers:WIKI"])
    # Its folder is that which it has among all rows.
    assert [(unit.row, unit.folder) for unit in trained] == [("dex", out / "runs/scratch/dex")]
    assert asked == ["WIKI"]
    assert "dldl_v2" in (out / "benchmark.md").read_text()
    assert not go(config, out, only=["scratch:dex", "scratch"])
    assert {unit.row for unit in trained[1:]} == {*config.parts.scratch.methods}


@pytest.mark.parametrize(
    ("only", "text"),
    [
        ("scratch:crps", "--only: scratch has no row 'crps'; there are dldl_v2, dex"),
        ("peers:dlib", "--only: peers has no row 'dlib'; there are none"),
        ("frozen:dex", "--only: expected some of scratch, peers, got 'frozen'"),
    ],
)
def test_a_row_that_is_not_there(tmp_path, only, text):
    with pytest.raises(ConfigError, match=text):
        go(small(), tmp_path / "out", only=[only])
    assert not (tmp_path / "out").exists()


def test_all_rows_that_are_not_there_are_named(tmp_path):
    with pytest.raises(ConfigError, match="scratch has no row 'a', 'b'; there are dldl_v2, dex"):
        go(small(), tmp_path / "out", only=["scratch:a", "scratch:dex", "scratch:b"])


@pytest.mark.parametrize("file", [aaf, cen_aaf, scut_fbp5500])
def test_the_configs_can_be_used(file):
    config = file.get_config()
    config.weights = "faceres-deep.json"
    bench = benchmark.parse(config)
    for part in bench.parts:
        fixed = file is cen_aaf or part.name == "finetune"
        for row in part.rows:
            assert len(sweep.points(part.config(row))) in ((1,) if fixed else (2, 4))
    names = [*bench.parts[0].rows]
    if file is aaf:
        assert names == [*methods.METHODS]
        assert [part.name for part in bench.parts] == ["frozen", "finetune", "scratch"]
    assert {part.seeds for part in bench.parts} <= {3, 5, 10}


def test_a_peers_form_is_that_of_the_least_error():
    records = faces.faces(40, 32, 0)
    asked = []

    def answer(images):
        asked.append(images.shape)
        # The red of the picture's middle, which depends on crop, place and order of colours.
        return images[:, 8, 8, 0].astype(np.float32), np.zeros((len(images), 0), np.float32)

    peer = peers.Peer(16, "rgb", LabelSpace.range(0, 255), answer)
    rows = np.arange(20)
    form, error = peers.chosen_form(peer, records, rows)
    assert asked[0] == (20, 16, 16, 3)
    values, _ = peers.answers(peer, records, rows, form)
    np.testing.assert_allclose(np.abs(values - records.labels[rows]).mean(), error, rtol=1e-5)
    for other in (peers.PeerForm(1.0, 0.0, "rgb"), peers.PeerForm(0.5, 0.0, "bgr")):
        values, _ = peers.answers(peer, records, rows, other)
        assert np.abs(values - records.labels[rows]).mean() >= error - 1e-6


def test_a_peer_answers_for_pictures_in_files(tmp_path):
    drawn = faces.faces(8, 32, 0)
    images = np.stack([drawn.images[np.asarray([row])][0] for row in range(8)])
    for row, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{row}.png")
    paths = tuple(str(tmp_path / f"{row}.png") for row in range(8))
    records = dataclasses.replace(drawn, images=None, paths=paths)

    def answer(images):
        return images[:, 8, 8, 0].astype(np.float32), np.zeros((len(images), 0), np.float32)

    peer = peers.Peer(16, "rgb", LabelSpace.range(0, 255), answer)
    form, rows = peers.PeerForm(1.0, 0.0, "rgb"), np.arange(8)
    of_files, of_memory = (peers.answers(peer, r, rows, form)[0] for r in (records, drawn))
    np.testing.assert_array_equal(of_files, of_memory)


def test_files_that_are_no_peers(tmp_path):
    for name, text in {
        "a.onnx": "no ONNX model|ONNX Runtime",
        "weights_manifest.json": "path",
    }.items():
        (tmp_path / name).write_text("{}")
        with pytest.raises(ValueError, match=text):
            peers.opened(tmp_path / name)
    with pytest.raises(ValueError, match="does not exist"):
        peers.opened(tmp_path / "b.h5")
