"""launch.evaluate: trained models scored on a labelled set, as a user calls it."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from absl import flags
from PIL import Image
from rich.console import Console

import ldl_jax
from launch import evaluate
from ldl_jax import calibration, methods
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.evaluation import compare, predictions, rates
from ldl_jax.labels import AGE, SCUT_FBP, LabelSpace
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run import candidates, command, jobs, model_answers, plan, scoring
from ldl_jax.run import config as schema
from ldl_jax.run.data import Reader
from ldl_jax.train.calibrated import network_mark
from ldl_jax.train.interrupt import Interrupt

pytestmark = pytest.mark.usefixtures("tiny_network")
COUNT = 20


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_model, draw_weights, write_checkpoint):
    """`checkpoint(name, space, **fields)`: a model that nobody trained."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def make(name, space=AGE, seed=3, **fields):
        if not (folder / name).exists():
            weights = draw_weights(tiny_model, methods.get("dldl", space=space), seed=seed)
            write_checkpoint(folder / name, weights, space=space, **fields)
        return folder / name

    return make


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A CSV file of 20 pictures with labels, split and subjects."""
    folder = tmp_path_factory.mktemp("faces")
    lines = ["path,label,split,subject"]
    for i in range(COUNT):
        cells = np.random.default_rng(i).integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(cells).resize((40, 48)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{20 + 2 * i},{'test' if i % 2 else 'train'},s{i // 2}")
    (folder / "ages.csv").write_text("\n".join(lines) + "\n")
    return folder / "ages.csv"


def call(capsys, *arguments):
    """The command in this process, with flags of its own; (exit code, printed, errors)."""
    values = flags.FlagValues()
    values["verbosity"] = flags.FLAGS["verbosity"]
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flags, "FLAGS", values)
        patch.setattr("sys.argv", ["evaluate", *map(str, arguments)])
        try:
            with command.flag_errors():
                evaluate.define_flags(values)
            evaluate.main(command.parse_flags(["evaluate", *map(str, arguments)]))
        except SystemExit as end:
            code = end.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def of_csv(faces, *more):
    return ["--config.data.name=csv_folder", f"--config.data.csv={faces}", *more]


def test_a_model_on_a_csv_file(checkpoint, faces, tmp_path, capsys):
    path, out = checkpoint("a"), tmp_path / "out"
    code, printed, errors = call(
        capsys, f"--checkpoint={path}", f"--out={out}", *of_csv(faces, "--part=all")
    )
    assert (code, errors) == (0, "")
    answers = predictions.read(out / "predictions" / "a.csv")
    images = np.stack([np.asarray(Image.open(faces.with_name(name))) for name in answers.ids])
    expected = ldl_jax.load(path)(images).value
    np.testing.assert_allclose(answers.values, expected, rtol=1e-4)
    np.testing.assert_array_equal(answers.labels, np.arange(20, 60, 2))
    content = json.loads((out / "evaluation.json").read_text())
    (model,) = content["models"]
    assert model["metrics"]["mae"] == pytest.approx(np.abs(expected - answers.labels).mean(), 1e-4)
    assert f"{model['metrics']['mae']:.3f}" in printed
    assert (content["pictures"], content["part"], content["unit"]) == (COUNT, "all", "years")
    assert "whether it was trained on these pictures is not known" in printed
    analysis = json.loads((out / "analysis" / "a.json").read_text())
    assert sum(row["pictures"] for row in analysis["by_label"]) == COUNT
    figures = {path.name for path in (out / "figures" / "a").iterdir()}
    assert figures == {
        *("predicted_against_true.png", "error_by_label.png", "analysis.png"),
        *("challenge.png", "risk_coverage.png"),
    }
    assert "| a |" in (out / "table.md").read_text()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out"]  # nothing beside it


def test_a_model_without_the_name_of_the_flag(checkpoint, faces, capsys):
    code, printed, errors = call(capsys, checkpoint("a"), *of_csv(faces, "--part=all"))
    assert (code, errors) == (0, "")
    same = call(capsys, f"--checkpoint={checkpoint('a')}", *of_csv(faces, "--part=all"))
    assert same == (0, printed, "")


def test_options_of_a_reader_of_ones_own_need_no_config_file(
    checkpoint, faces, tmp_path, monkeypatch, capsys
):
    (tmp_path / "reader_with_options.py").write_text(
        "import numpy as np\n"
        "from ldl_jax.data.records import Records\n\n\n"
        "def drawn(count=9):\n"
        '    """Grey faces."""\n'
        "    images = np.full((count, 32, 32, 3), 99, np.uint8)\n"
        "    names = [str(row) for row in range(count)]\n"
        "    return Records(name='grey', ids=names, images=images, labels=[30] * count)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    data = ["--config.data.name=reader_with_options:drawn", "--part=all"]
    code, printed, errors = call(capsys, checkpoint("a"), *data, "--config.data.options.count=12")
    assert (code, errors) == (0, "")
    assert "grey: 12 pictures" in printed
    errors = call(capsys, checkpoint("a"), *data, "--config.data.options.cuont=12")[2]
    assert "data.options.cuont: 'reader_with_options:drawn' has no such option" in errors


@pytest.fixture(scope="module")
def grouped(faces):
    """The same pictures with younger people, a validation part, and two columns of groups."""
    lines = ["path,label,split,subject,group.sex,group.skin"]
    for i in range(COUNT):
        part = ("train", "validation", "test")[i % 3]
        lines.append(f"{i}.png,{10 + 2 * i},{part},s{i},{'fm'[i % 2]},{'I' if i < 12 else ''}")
    path = faces.with_name("groups.csv")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_thresholds_groups_and_an_operating_point(checkpoint, grouped, tmp_path, capsys):
    out = tmp_path / "out"
    given = [f"--checkpoint={checkpoint('a')}", f"--out={out}", *of_csv(grouped)]
    more = ["--thresholds=18,30", "--groups=sex", "--max-fpr=0.9", "--confidence=0.5"]
    code, printed, errors = call(capsys, *given, *more)
    assert (code, errors) == (0, "")
    answers = predictions.read(out / "predictions" / "a.csv")
    assert {*answers.groups} == {"sex"}
    assert set(answers.groups["sex"]) == {"female", "male"}
    found = json.loads((out / "analysis" / "a.json").read_text())
    assert [row["at"] for row in found["decisions"]] == [18, 30]
    under, passed = answers.labels < 30, answers.values >= 30
    rate = found["decisions"][1]["fpr"]
    assert (rate["of"], rate["hits"]) == (under.sum(), (under & passed).sum())
    assert found["groups_too_small"] == ["sex: female", "sex: male"]
    assert "fewer than 30 people, too few to compare: sex: female (3), sex: male (3)" in printed
    points = json.loads((out / "evaluation.json").read_text())["operating"]
    assert [(point["at"], point["wanted_fpr"]) for point in points] == [(18, 0.9), (30, 0.9)]
    assert all(point["under"] > 0 for point in points)
    assert "challenge ages: the least for which the validation part shows" in printed
    page = (out / "table.md").read_text()
    assert "FPR % [95 %]" in page
    assert "sex: female" in page


def test_each_model_is_asked_once_for_both_parts(checkpoint, grouped, monkeypatch, capsys):
    counts = []
    inner = scoring.answers_of

    def counted(candidate, config, records, rows, *more):
        counts.append(len(rows))
        return inner(candidate, config, records, rows, *more)

    monkeypatch.setattr(scoring, "answers_of", counted)
    config = schema.defaults()
    config.data.name, config.data.csv = "csv_folder", str(grouped)
    both = [checkpoint("a")], schema.parse(config)
    quiet = print, lambda *_: None
    held, tested = scoring.score_parts(*both, ("validation", "test"), *quiet)
    assert counts == [13]
    for scores, part in ((held, "validation"), (tested, "test")):
        alone = scoring.score(*both, part, *quiet)
        assert scores.protocol == alone.protocol
        assert scores.pictures == f"{part} pictures"
        assert scores.models[0].summary == pytest.approx(alone.models[0].summary, rel=1e-5)
        ours, theirs = (x.models[0].predictions for x in (scores, alone))
        assert (ours.ids, ours.groups, ours.subjects) == (
            theirs.ids,
            dict(theirs.groups),
            theirs.subjects,
        )
        np.testing.assert_allclose(ours.probs, theirs.probs, rtol=1e-4)
    capsys.readouterr()


def test_the_range_that_a_calibration_allows_is_said(checkpoint, grouped, tmp_path, capsys):
    raw, file = ldl_jax.load(checkpoint("a")), tmp_path / "calibrated.safetensors"
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(101), 99), rng.integers(0, 100, 99)
    mark = network_mark(raw.trained.params["head"])
    for groups, words in [
        ((), "expected of 66 calibrated: {} to {} %) and are"),
        (["female", "male", "x"] * 33, "(10; expected of {} calibrated: "),
    ]:
        options = calibration.Options(network=mark, groups=bool(groups))
        known = calibration.fit(p, y, AGE, options, groups)
        Predictor(dataclasses.replace(raw.about, calibration=known), raw.trained).save(file)
        given = [f"--checkpoint={file}", *of_csv(grouped, "--part=all"), "--groups=sex"]
        if groups:  # two kinds of groups are crossed, and this one was calibrated by sex alone
            given[-1] = "--config.data.columns={'group.skin': ''}"
        code, printed, errors = call(capsys, *given)
        assert (code, errors) == (0, "")
        ends = [f"{100 * x:.1f}" for x in rates.conformal_range(66, COUNT, 0.9)]
        count = next((cell.count for cell in known.groups if cell.name == "female"), 0)
        said = words.format(*ends) if not groups else words.format(count)
        assert said in " ".join(printed.split())


def test_no_challenge_age_is_said_with_how_many_pictures_it_needs(checkpoint, grouped, capsys):
    given = [f"--checkpoint={checkpoint('a')}", "--max-fpr=0.05", "--thresholds=30"]
    code, printed, _ = call(capsys, *given, *of_csv(grouped))
    assert code == 0
    assert "none can be shown to do, of 3 validation pictures under it; 59 are needed" in printed


def test_what_is_wrong_with_thresholds_and_groups(checkpoint, grouped, faces, capsys):
    model = f"--checkpoint={checkpoint('a')}"
    for arguments, says in [
        (["--thresholds=18,120", "--groups=race"], "--thresholds: 120 is outside the labels"),
        (["--thresholds=18,120", "--groups=race"], "no groups of 'race'; there are: sex, skin"),
        (["--thresholds=21,18"], "expected thresholds that rise, got 21, 18"),
        (["--thresholds=x,18"], "--thresholds: expected numbers, as 18,21, got 'x,18'"),
        (["--max-fpr=1.5"], "--max-fpr: expected between 0 and 1, got 1.5"),
        (["--max-fpr=0.1", "--part=all"], "--max-fpr: a challenge age is chosen on the valid"),
        (["--confidence=0.9"], "--confidence: is that of --max-fpr"),
    ]:
        code, _, errors = call(capsys, model, *arguments, *of_csv(grouped))
        assert (code, errors.count("\n")) == (1, 1), (arguments, errors)
        assert says in errors
    code, _, errors = call(capsys, model, "--max-fpr=0.1", *of_csv(faces))
    assert "the validation part is empty" in errors


def test_spoiled_copies_of_the_pictures(checkpoint, faces, tmp_path, capsys):
    out = tmp_path / "out"
    more = ("--part=all", "--corruptions=noise,low_light", "--severities=5", f"--out={out}")
    few = ("--part=all", "--corruptions=noise", "--severities=5", "--spoiled-pictures=7")
    printed = call(capsys, f"--checkpoint={checkpoint('cen')}", *of_csv(faces), *few)[1]
    assert f"MAE on 7 of the {COUNT} pictures, spoiled" in printed
    wrong = (*more[:3], "--spoiled-pictures=0")
    errors = call(capsys, f"--checkpoint={checkpoint('cen')}", *of_csv(faces), *wrong)[2]
    assert errors == "error: --spoiled-pictures: expected 1 or more, got 0\n"
    printed = call(capsys, f"--checkpoint={checkpoint('cen')}", *of_csv(faces), *more)[1]
    assert "low light" in printed
    (model,) = json.loads((out / "evaluation.json").read_text())["models"]
    found = model["robustness"]
    assert found["clean"]["mae"] == pytest.approx(model["metrics"]["mae"], rel=1e-5)
    assert found["clean"]["coverage90"] == pytest.approx(model["metrics"]["coverage90"], abs=1e-6)
    assert [(x["corruption"], x["severity"]) for x in found["rows"]] == [
        ("noise", 5),
        ("low_light", 5),
    ]
    assert found["rows"][0]["mae"] != found["clean"]["mae"]
    assert "low light" in (out / "robustness.md").read_text()


def test_a_model_in_one_file_is_scored_as_its_checkpoint(checkpoint, faces, tmp_path, capsys):
    path, file = checkpoint("a"), tmp_path / "m.safetensors"
    ldl_jax.load(path).save(file)
    both = [f"--checkpoint={path}", f"--checkpoint={file}"]
    code, printed, errors = call(capsys, *both, *of_csv(faces, "--part=all"))
    assert (code, errors) == (0, "")
    assert "m.safetensors" in printed
    assert compare.text(compare.Difference(0.0, 0.0, 0.0)) in printed


def test_two_models_in_one_table_with_a_paired_interval(checkpoint, faces, tmp_path, capsys):
    out = tmp_path / "out"
    first, second = checkpoint("a"), checkpoint("b", LabelSpace.range(16, 60), seed=4, flip=True)
    given = [f"--checkpoint={first}", f"--checkpoint={second}", f"--out={out}"]
    code, printed, _ = call(capsys, *given, *of_csv(faces))
    assert code == 0
    one, two = (predictions.read(out / "predictions" / f"{name}.csv") for name in "ab")
    errors = [np.abs(answer.values - answer.labels) for answer in (one, two)]
    difference = json.loads((out / "evaluation.json").read_text())["models"][1]["difference"]
    assert difference["mean"] == pytest.approx((errors[1] - errors[0]).mean(), abs=1e-5)
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert f"{difference['mean']:+.3f} [" in printed
    assert len(one) == COUNT // 2  # the test part
    assert "LEAK" in printed  # each subject is in both parts
    assert "split: official with leaks" in printed


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny run on drawn faces: its config, and its workdir."""
    config = schema.defaults()
    config.data.synthetic_count, config.data.size, config.data.space = 48, 32, "0:1:100"
    config.data.options = {"groups": 2}
    config.model.name, config.method.name = "tiny", "dldl"
    config.batch_size, config.epochs, config.chain.generations = 8, 1, 1
    config.evaluation.batch_size = 16
    path = tmp_path_factory.mktemp("trained") / "run"
    parsed = schema.parse(config)
    (run,) = plan.runs(parsed)
    console = Console(file=io.StringIO(), width=200)
    with Interrupt() as interrupt:
        jobs.train(path, jobs.check(path, run, Reader()), console, interrupt, "")
    return parsed, path, console.file.getvalue()


def test_a_run_ends_with_its_table_of_groups(trained):
    _, path, printed = trained
    known = json.loads((path / "analysis" / "generation_1.json").read_text())["by_group"]
    assert known
    for name, numbers in known.items():
        rows = [x for x in printed.splitlines() if f"generation 1  {name} " in x]
        (row,) = rows
        assert f"{numbers['mae']:.3f}" in row
    assert "too few to compare" in printed


def test_a_run_on_its_own_test_part_has_its_own_numbers(trained, capsys):
    config, path, _ = trained
    scores = scoring.score([path], config, "test", print, lambda *_: None)
    kept = json.loads((path / "generation_1.json").read_text())
    (model,) = scores.models
    assert {key: kept[key] for key in model.summary} == pytest.approx(model.summary, rel=1e-5)
    assert model.notes == ("it was not trained on these pictures",)
    assert scores.protocol == "official"
    capsys.readouterr()


def test_a_run_on_what_it_was_trained_on_is_a_leak(trained, tmp_path, capsys):
    config, path, _ = trained
    out = Console(file=io.StringIO(), width=200)
    evaluate.run([path], config, "all", None, out)
    assert "run: LEAK: " in out.file.getvalue()
    scores = scoring.score([path], config, "train", print, lambda *_: None)
    count = len(scores.models[0].predictions)
    assert scores.models[0].notes == (f"LEAK: {count} of {count} pictures it was trained on",)
    capsys.readouterr()


def test_the_authors_file_on_ages(real_data, faces, capsys):
    path = real_data / "ssrnet" / "imdb.h5"
    if not path.exists():
        pytest.skip(f"no {path}")
    code, printed, errors = call(
        capsys, f"--checkpoint={path}", *of_csv(faces, "--part=all", "--config.data.space=adience")
    )
    assert (code, errors) == (0, "")
    assert (
        "its values are compared, its distributions are over other labels and left out" in printed
    )
    assert "1-off %" in printed


def test_one_program_answers_for_all_batches(checkpoint, faces, capsys):
    before = model_answers.evaluate.jit_predict
    programs = []
    with pytest.MonkeyPatch.context() as patch:

        def counted(*arguments, **options):
            programs.append(before(*arguments, **options))
            return programs[-1]

        patch.setattr(model_answers.evaluate, "jit_predict", counted)
        data = of_csv(faces, "--part=all", "--config.evaluation.batch_size=8")
        data.append("--config.evaluation.distributions=false")
        code, *_ = call(capsys, f"--checkpoint={checkpoint('a')}", *data)
    assert code == 0
    assert [program._cache_size() for program in programs] == [1]


@pytest.mark.parametrize(
    ("own", "stated", "unit", "labels", "space", "note"),
    [
        (AGE, None, "years", [3, 70], AGE, ""),
        (LabelSpace.range(16, 60), None, "years", [3, 30], LabelSpace.range(16, 60), "1 of 2"),
        (AGE, LabelSpace.range(16, 77), "years", [30], LabelSpace.range(16, 77), "left out"),
        (SCUT_FBP, None, "score", [1.5, 5], SCUT_FBP, ""),
    ],
)
def test_spaces_that_are_compared(own, stated, unit, labels, space, note):
    found = candidates.compared_in(own, stated, unit, np.array(labels, np.float32))
    assert found[0] == space
    assert note in found[1]
    assert bool(note) == bool(found[1])


@pytest.mark.parametrize(
    ("own", "stated", "unit", "labels", "says"),
    [
        (AGE, None, "score", [3.0], "answers in years, and the labels are in score"),
        (SCUT_FBP, None, "score", [1.5, 6.5], "the labels are from 1.5 to 6.5: another scale"),
        (
            SCUT_FBP,
            LabelSpace.range(1, 7, 0.1, "score"),
            "score",
            [2],
            "from 1 to 7: another scale",
        ),
    ],
)
def test_spaces_that_are_not(own, stated, unit, labels, says):
    with pytest.raises(ValueError, match=says):
        candidates.compared_in(own, stated, unit, np.array(labels, np.float32))


def test_bad_input_is_one_line_before_anything_is_written(checkpoint, faces, tmp_path, capsys):
    mine, file = tmp_path / "mine", tmp_path / "file"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep me")
    file.write_text("")
    model = f"--checkpoint={checkpoint('a')}"
    score = f"--checkpoint={checkpoint('score', SCUT_FBP)}"
    data = of_csv(faces)
    cases = [
        ([*data], "--checkpoint: give"),
        (["--checkpoint=nowhere", "--checkpoint=no.h5", *data], "nowhere does not exist; no.h5"),
        (
            [score, model, *data],
            "--checkpoint: score answers in score, and the labels are in years",
        ),
        ([model, "--config.data.csvv=x"], "csvv"),
        ([model, *data, "--config.epochs=3"], "epochs is of training"),
        ([model, *data, "--config.data.size=64"], "data.size is the model's own"),
        ([model, *data, "--part=some"], "--part"),
        ([model, *data, "--part=validation"], "the validation part is empty"),
        ([model, *data, "--config.data.space=0:1:30"], "outside the label space 0..30"),
        ([model, *data, "--config.data.protocol=kfold"], "data.fold: the protocol 'kfold'"),
        ([model, *data, "--config.evaluation.batch_size=9"], "evaluation.batch_size: 9"),
        ([model, *data, f"--out={mine}"], "holds other files than an evaluation's, as notes.txt"),
        ([model, *data, f"--out={file}/x"], "is a file"),
        ([model, *data, "extra"], "--checkpoint: extra does not exist"),
        ([model], "--config: says which pictures are scored"),
        ([model, *data, "--corruptions=fog"], "--corruptions: expected some of blur, jpeg,"),
        ([model, *data, "--corruptions", "--severities=0,x"], "--severities: expected some of 1"),
        ([model, *data, "--severities=1"], "--severities: of corruptions; give --corruptions too"),
    ]
    for arguments, says in cases:
        code, _, errors = call(capsys, *arguments)
        assert (code, errors.count("\n")) == (1, 1), (arguments, errors)
        assert errors.startswith("error: ")
        assert says in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]
    assert (mine / "notes.txt").read_text() == "keep me"


def test_an_earlier_evaluation_gives_way_whole(checkpoint, faces, tmp_path, capsys, monkeypatch):
    out, data = tmp_path / "out", of_csv(faces, "--part=all")
    assert call(capsys, f"--checkpoint={checkpoint('a')}", f"--out={out}", *data)[0] == 0
    before = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def full(*_, **__):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ldl_jax.evaluation.analysis_figure.error_analysis", full)
        code, _, errors = call(capsys, f"--checkpoint={checkpoint('b')}", f"--out={out}", *data)
    assert code == 1
    assert "no space left" in errors
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert call(capsys, f"--checkpoint={checkpoint('b')}", f"--out={out}", *data)[0] == 0
    assert [path.name for path in (out / "predictions").iterdir()] == ["b.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_how_faces_were_cut_out_is_said(checkpoint, faces, capsys):
    path = checkpoint("cut", alignment=Alignment("similarity", 0.2))
    _, printed, _ = call(capsys, f"--checkpoint={path}", *of_csv(faces, "--part=all"))
    assert "cut: its pictures were cut out by" in printed
    assert "how these were is not known" in printed


def test_another_size_and_crop_than_the_first_models(checkpoint, faces, tmp_path, capsys):
    out = tmp_path / "out"
    wide = checkpoint("wide", preprocessing=Preprocessing(64, 32, crop=0.5))
    given = [f"--checkpoint={checkpoint('a')}", f"--checkpoint={wide}", f"--out={out}"]
    assert call(capsys, *given, *of_csv(faces, "--part=all"))[0] == 0
    answers = predictions.read(out / "predictions" / "wide.csv")
    images = np.stack([np.asarray(Image.open(faces.with_name(name))) for name in answers.ids])
    np.testing.assert_allclose(answers.values, ldl_jax.load(wide)(images).value, rtol=1e-4)
    with (out / "predictions" / "wide.csv").open(newline="") as file:
        assert next(csv.reader(file))[:3] == ["id", "label", "value"]
