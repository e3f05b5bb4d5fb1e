"""The report as one page: what is in it, that it is whole by itself, and what bad input gets."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ldl_jax.evaluation import analysis, predictions
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace
from ldl_jax.reports import page, subjects

SPACE = LabelSpace.range(0, 60)
# What every version's analysis has of a run with distributions.
LEAST = ("unit", "by_label", "balanced_mae", "calibration", "quantile_calibration_error")
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Checked(HTMLParser):
    """Fails at a tag that is not closed in order, and collects ids and texts."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def answers(seed, count=80, ids="p"):
    rng = np.random.default_rng(seed)
    labels = rng.integers(5, 55, count).astype(np.float32)
    values = np.clip(labels + rng.normal(0, 4, count), 0, 60).astype(np.float32)
    probs = np.exp(-0.5 * ((np.asarray(SPACE.values) - values[:, None]) / 5) ** 2)
    names = tuple(f"{ids}{i}" for i in range(count))
    return Predictions(names, labels, values, probs / probs.sum(1, keepdims=True), SPACE)


def write_run(folder, seed=0, ids="p", generations=2):
    folder.mkdir(parents=True)
    config = {
        "method": {"name": "cen"},
        "model": {"name": "tiny"},
        "epochs": 3,
        "data": {"name": "synthetic", "audit": True},
        "resolved": {"protocol": "official", "pictures": {"train": 200, "test": 80}},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "analysis").mkdir()
    steps = []
    for t in range(1, generations + 1):
        known = answers(seed + t, ids=ids)
        predictions.write(folder / f"predictions/generation_{t}.csv", known)
        found = analysis.analyse(known)
        least = {key: found[key] for key in LEAST}
        (folder / f"analysis/generation_{t}.json").write_text(json.dumps(least))
        mae = float(np.abs(known.values - known.labels).mean())
        row = {"generation": t, "test pictures": 80, "mae": mae, "coverage90": 0.93}
        (folder / f"generation_{t}.json").write_text(json.dumps(row))
        for step in range(1, 6):
            steps.append({"kind": "train", "generation": t, "step": step, "loss": 1 / step})
            steps[-1] |= {"total_step": 5 * t + step, "mae": 9.0 - step}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in steps))
    start = {"command": "python -m launch.main <b>", "device": "1 x cpu", "versions": {"jax": "1"}}
    (folder / "started.json").write_text(json.dumps([start]))
    return folder


def shown(*folders, **options):
    text = page.page(subjects.read(folders), **options)
    parser = Checked()
    parser.feed(text)
    assert not parser.open
    assert len(set(parser.ids)) == len(parser.ids)
    return text, parser


def add_trust(folder):
    """Adds to a run's analysis what other versions, or the data, give."""
    path = folder / "analysis/generation_2.json"
    content = json.loads(path.read_text())

    def rate(hits, of):
        return {"hits": hits, "of": of, "rate": hits / of, "low": 0.01, "high": 0.3}

    challenge = [{"at": 18.0 + i, "fpr": rate(3 - i, 30), "fnr": rate(i, 50)} for i in range(3)]
    content["decisions"] = [{"at": 18.0, **challenge[0], "challenge": challenge}]
    content["decisions"][0]["at"] = 18.0
    curve = [{"coverage": x, "mae": 2 + x, "at_most": 9.0} for x in (0.5, 1.0)]
    content["abstention"] = {
        "mae": 3.0,
        "aurc_best": 1.0,
        "by_width": {"aurc": 2.5, "curve": curve},
        "by_entropy": {"aurc": 2.6, "curve": curve},
    }
    group = {"pictures": 40, "people": 20, "mae": 3.1, "mae_interval": [2.9, 3.4], "bias": -0.1}
    content["by_group"] = {"<i>one</i>": group, "two": group | {"bias_interval": None}}
    content["groups_too_small"] = ["two"]
    path.write_text(json.dumps(content))


def test_a_page_of_a_run_needs_nothing_else(tmp_path):
    text, parser = shown(write_run(tmp_path / "a"))
    assert not re.search(r"https?://|<script|<link|url\((?!#)", text)
    assert "<b>" not in text.split("<pre>")[1].split("</pre>")[0]  # the command is text
    charts = [
        attributes for tag, attributes in parser.tags if tag == "svg" and "role" in attributes
    ]
    assert len(charts) == 7
    assert text.count("<title id=") == text.count("<desc id=") == len(charts)
    assert text.count("<figure>") == text.count("Its numbers") == len(charts)
    assert "off by " in text
    assert "(95 % interval " in text
    assert "Quantile calibration error" in text
    for title in ("Split and leaks", "Generations", "Error by label", "Learning curves"):
        assert f">{title}</h2>" in text
    for title in ("Decisions at a threshold", "Answers left out", "Groups of people", "Spoiled"):
        assert title not in text


def test_sections_appear_where_their_numbers_are(tmp_path):
    folder = write_run(tmp_path / "a")
    add_trust(folder)
    text, _ = shown(folder)
    assert "Challenge ages for 18 years" in text
    assert "10.0 [1.0, 30.0]" in text
    assert "by interval width, AURC 2.500" in text
    assert "&lt;i&gt;one&lt;/i&gt;" in text
    assert "3.100 [2.900, 3.400]" in text
    assert "Too few people to compare: two." in text


def test_runs_beside_one_another_say_which_pictures_differ(tmp_path):
    first, second = write_run(tmp_path / "a"), write_run(tmp_path / "b", seed=7)
    other = write_run(tmp_path / "c", ids="q")
    (second / "generation_2.json").write_text(json.dumps({"generation": 2, "mae": 3.0}))
    labels = predictions.read(first / "predictions/generation_2.csv")
    predictions.write(second / "predictions/generation_2.csv", labels)
    text, _ = shown(first, second, other)
    assert "Difference of the MAE from that of a" in text
    assert "numbers are of something else: c." in text
    assert text.count("+0.000") >= 3


def test_a_model_of_an_evaluation_and_its_robustness(tmp_path):
    folder, known = tmp_path / "evaluated", answers(3)
    predictions.write(folder / "predictions/m.csv", known)
    (folder / "analysis").mkdir()
    (folder / "analysis/m.json").write_text(json.dumps(analysis.analyse(known)))
    numbers = {"mae": 3.0, "bias": 0.1, "coverage90": 0.91, "width90": 12.0}
    rows = [
        {"corruption": "low_light", "severity": s, **numbers, "mae": 3.0 + s, "mae_change": {}}
        for s in (1, 3)
    ]
    model = {
        "name": "m",
        "record": {"model": {"name": "tiny"}, "method": {"name": "dex"}},
        "metrics": {"mae": 3.0, "ca5": 0.6},
        "notes": ["it was not trained on these pictures"],
        "predictions": "predictions/m.csv",
        "analysis": "analysis/m.json",
        "robustness": {"pictures": 80, "clean": numbers, "rows": rows},
    }
    content = {"models": [model], "data": {"name": "synthetic"}, "part": "validation"}
    content |= {"protocol": "official with leaks (2 of 80)", "notes": []}
    (folder / "evaluation.json").write_text(json.dumps(content))
    text, _ = shown(folder)
    assert "scored on the validation part of" in text
    assert "Its answers for 80 validation pictures" in text
    assert "CA(n): validation pictures with" in text
    assert "test pictures" not in text
    together, _ = shown(folder, write_run(tmp_path / "a"))
    assert "CA(n): pictures with" in together
    assert "low light" in text
    assert "it was not trained on these pictures" in text
    assert "The parts share pictures or people" in text
    model["predictions"] = "../elsewhere.csv"
    (folder / "evaluation.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="leads out of the folder"):
        subjects.read([folder])


def test_a_benchmark(tmp_path):
    row = {"row": "cen", "seeds": 2, "of": 3, "chosen": "rate 0.1", "seconds": 1.0}
    row["metrics"] = {"mae": [3.0, 3.2]}
    difference = {"mean": -0.5, "low": -0.8, "high": -0.2, "p": 0.01, "p_holm": 0.02, "from": "dex"}
    parts = {"x": {"title": "Part <x>", "rows": [row, row | {"difference": difference}]}}
    parts["x"]["missing"] = ["ranking"]
    content = {"title": "Faces", "facts": ["two seeds"], "parts": parts}
    (tmp_path / "benchmark.json").write_text(json.dumps(content))
    text, _ = shown(tmp_path)
    assert "3.100 ± 0.141" in text
    assert "-0.500 [-0.800, -0.200]" in text
    assert "Not computed yet: ranking." in text
    assert "Part &lt;x&gt;" in text
    del content["parts"]["x"]["rows"][0]["metrics"]
    (tmp_path / "benchmark.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"Faces: its benchmark\.json is damaged"):
        page.page(subjects.read([tmp_path]))


def test_no_picture_of_a_person_unless_asked_for(tmp_path):
    folder = write_run(tmp_path / "a")
    (folder / "figures").mkdir()
    (folder / "figures/evolution.png").write_bytes(b"\x89PNG")
    assert "<img" not in shown(folder)[0]
    text, parser = shown(folder, pictures=True)
    (image,) = [attributes for tag, attributes in parser.tags if tag == "img"]
    assert image["alt"].startswith("Some test pictures")
    assert image["src"] == "data:image/png;base64,iVBORw=="
    assert "img-src data:" in text


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("analysis/generation_2.json", "{", "generation_2.json: is not JSON"),
        ("analysis/generation_2.json", "[]", "expected an object, got a list"),
        (
            "analysis/generation_2.json",
            '{"by_label": [{}]}',
            "its files are not as they are written",
        ),
        ("split.json", "3", "expected an object, got a int"),
        ("started.json", "{}", "expected a list, got a dict"),
        ("metrics.jsonl", "{}\n{}\n", "is no row of a run"),
        ("config.json", '{"data": 3, "model": [], "resolved": 1}', ""),
    ],
)
def test_damaged_files_are_named(tmp_path, file, content, says):
    folder = write_run(tmp_path / "a")
    (folder / file).write_text(content)
    if not says:  # what is not known is left out
        assert "A network with the method (not known)" in shown(folder)[0]
        return
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        page.page(subjects.read([folder]))
    assert str(tmp_path) in str(error.value)
