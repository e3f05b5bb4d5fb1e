"""Films whose faces are known: what is followed, pooled, drawn and written."""

import contextlib
import csv
import dataclasses
import importlib.util
import io
import json
import os
import signal
import sys
import threading
import weakref

import numpy as np
import pytest
from PIL import Image

from ldl_jax import calibration, decoders, methods
from ldl_jax.calibration import Options
from ldl_jax.data import align
from ldl_jax.data.detect import choice
from ldl_jax.data.synthetic import faces as synthetic
from ldl_jax.labels import AGE
from ldl_jax.predict.predictor import Predictor
from ldl_jax.train.calibrated import network_mark
from ldl_jax.video import opening, writing
from ldl_jax.video.answering import FilmAnswers
from ldl_jax.video.film import answer_film, problems
from ldl_jax.video.pools import Pools, PoolSettings
from ldl_jax.video.reading import FilmReader, Frame
from tests.launch.in_process import predicted as call
from tests.video import drawn_film
from tests.video.drawn_film import ONE, SIDE, TWO, draw_frame, encode, face_at, film, frames_of

av = pytest.importorskip("av", reason="films need PyAV: pip install 'ldl_jax[video]'")
pytestmark = pytest.mark.usefixtures("tiny_network")
DETECTOR = "--detector=tests.video.drawn_film:detector"


@pytest.fixture(scope="module")
def weights(tiny_model, draw_weights):
    return draw_weights(tiny_model, methods.get("dldl", space=AGE), seed=3)


@pytest.fixture(scope="module")
def predictor(weights, make_record):
    return Predictor(make_record(), weights)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, weights, write_checkpoint):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "c", weights)


def answers_of(predictor, **keywords):
    settings = PoolSettings(
        **{k: keywords.pop(k) for k in list(keywords) if hasattr(PoolSettings, k)}
    )
    detect = keywords.pop("detect", drawn_film.detector())
    return FilmAnswers(
        predictor, detect=detect, alignment=predictor.alignment, settings=settings, **keywords
    )


def run(predictor, path, seconds=None, **keywords):
    answers = answers_of(predictor, **keywords)
    with FilmReader(opening.open_film(path)) as reader:
        result = answer_film(reader, answers, predictor.space, seconds=seconds)
    return result, problems(result, answers)


def crops(predictor, path):
    """The face of each frame, cut out as the command does."""
    detect = drawn_film.detector()
    for pixels, seconds in frames_of(path):
        image = Image.fromarray(pixels)
        for face in detect(image):
            cut = align.cut(image, align.square_of(face, predictor.alignment), 32)
            yield predictor.fitted(cut), seconds


@pytest.mark.parametrize("pool", ["product", "mean"])
def test_a_face_is_followed_and_its_frames_are_pooled(predictor, tmp_path, pool):
    path = film(tmp_path / "one.mp4", 12)
    result, lines = run(predictor, path, pool=pool, boxes=True)
    assert lines == []
    assert (result.frames, result.looks, result.fps, result.damage) == (12, 12, 25.0, None)
    assert result.seconds == pytest.approx(12 / 25)
    (track,) = result.tracks
    assert (track.first, track.last, track.frames, track.answer.face) == (0, 11, 12, 1)
    assert track.last_second == pytest.approx(11 / 25)
    images, seconds = map(np.stack, zip(*crops(predictor, path), strict=True))
    prediction = predictor.answer(images)
    expected = (
        decoders.mean_pool(prediction.probs)
        if pool == "mean"
        else decoders.product_pool(prediction.probs, seconds)
    )
    np.testing.assert_allclose(track.answer.probs, expected, rtol=2e-2, atol=1e-5)
    value = float(decoders.expectation(expected, AGE))
    assert track.answer.value == pytest.approx(value, abs=0.05)
    low, high = map(float, decoders.interval(expected, AGE))
    assert (track.answer.low, track.answer.high) == pytest.approx((low, high), abs=1)
    worth = float(decoders.effective_count(seconds)) if pool == "product" else None
    assert track.worth == (None if worth is None else pytest.approx(worth, rel=1e-3))
    for frame, box in track.boxes:
        x, y = face_at(frame)
        np.testing.assert_allclose(box, (x, y, x + SIDE, y + SIDE), atol=1.5)


def test_two_faces_that_cross_are_two_tracks_and_batches_change_nothing(predictor, tmp_path):
    path = film(tmp_path / "two.mkv", 40, TWO)
    results = [run(predictor, path, batch=batch)[0] for batch in (64, 5)]
    for result in results:
        assert [(t.answer.face, t.first, t.last) for t in result.tracks] == [(1, 0, 39), (2, 0, 39)]
    for a, b in zip(results[0].tracks, results[1].tracks, strict=True):
        assert a.answer.value == pytest.approx(b.answer.value, abs=1e-3)


def test_every_third_frame_is_looked_at_and_the_tracks_stay(predictor, tmp_path):
    path = film(tmp_path / "two.mp4", 40, TWO)
    result, lines = run(predictor, path, every=3, boxes=True)
    assert (result.frames, result.looks, lines) == (40, 14, [])
    assert [(t.first, t.last, t.frames) for t in result.tracks] == [(0, 39, 14), (0, 39, 14)]
    assert [frame for frame, _ in result.tracks[0].boxes] == list(range(0, 40, 3))


def test_a_face_that_is_not_found_for_a_few_frames_stays_one_track(predictor, tmp_path):
    gone = {(0, index) for index in range(10, 16)}
    result, _ = run(predictor, film(tmp_path / "gap.mp4", 30, gone=gone))
    assert [(t.first, t.last, t.frames) for t in result.tracks] == [(0, 29, 24)]


def test_what_is_seen_in_few_frames_is_left_out_and_counted(predictor, tmp_path):
    faces = [*ONE, (5, (120, 60), (0, 0))]
    gone = {(1, index) for index in range(30) if index not in (7, 8)}
    path = film(tmp_path / "short.mp4", 30, faces, gone=gone)
    result, lines = run(predictor, path)
    assert (len(result.tracks), result.left_out, lines) == (1, 1, [])
    result, _ = run(predictor, path, least=2)
    assert [(t.answer.face, t.frames) for t in result.tracks] == [(1, 30), (2, 2)]
    result, _ = run(predictor, film(tmp_path / "two_frames.mp4", 2))
    assert [(t.frames, t.answer.face) for t in result.tracks] == [(2, 1)]


def test_a_cut_ends_the_tracks(predictor, tmp_path):
    """Another face stands where the first one was."""
    still = [(1, (60, 40), (0, 0))], [(2, (60, 40), (0, 0))]
    frames = [draw_frame(0, still[0])] * 8 + [draw_frame(0, still[1], backdrop=(90, 120, 140))] * 8
    result, _ = run(predictor, encode(tmp_path / "cut.mp4", frames))
    assert [(t.first, t.last) for t in result.tracks] == [(0, 7), (8, 15)]


def test_a_film_of_one_aligned_face(predictor, tmp_path):
    path = film(tmp_path / "aligned.mp4", 10)
    result, lines = run(predictor, path, detect=None)
    assert lines == []
    (track,) = result.tracks
    images = np.stack([predictor.fitted(Image.fromarray(p)) for p, _ in frames_of(path)])
    mean = float(predictor.answer(images).value.mean())
    assert (track.frames, track.answer.value) == (10, pytest.approx(mean, abs=0.5))


def test_frames_of_any_rate_keep_their_times(predictor, tmp_path):
    times = np.cumsum([0, 0.04, 0.2, 0.04, 0.5, 0.1, 0.04, 0.04, 0.3, 0.04])
    path = film(tmp_path / "vfr.mkv", 10, times=times)
    result, lines = run(predictor, path)
    assert lines == []
    assert result.tracks[0].last_second == pytest.approx(times[-1], abs=2e-3)
    worth = decoders.effective_count(times.astype(np.float32))
    assert result.tracks[0].worth == pytest.approx(float(worth), rel=1e-2)


def test_few_frames_are_held_at_a_time(predictor):
    """A film of any length takes the memory of a few frames."""
    pictures, most = [], 0

    def frames():
        nonlocal most
        for index in range(150):
            image = Image.fromarray(draw_frame(index % 40, ONE))
            pictures.append(weakref.ref(image))
            most = max(most, sum(picture() is not None for picture in pictures))
            yield Frame(index, index / 25, image)
            del image

    answers = answers_of(predictor, batch=8)
    seen = sum(1 for _ in answers.answer(frames(), keep=True))
    assert seen == 150
    assert most <= 12
    assert len(answers.pools._open) == 0


def test_the_command_writes_json_csv_a_table_and_a_film(checkpoint, tmp_path, capsys):
    path = film(tmp_path / "two.mp4", 40, TWO, sound=True)
    out, table, copy = tmp_path / "o.json", tmp_path / "o.csv", tmp_path / "new" / "copy.mp4"
    arguments = [path, f"--checkpoint={checkpoint}", DETECTOR, "--align=box", f"--json={out}"]
    assert call(*arguments, f"--csv={table}", f"--annotate={copy}", "--boxes") == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [f"{copy}: is without the film's sound"]
    (answer,) = json.loads(out.read_text())
    facts = {"film": str(path), "frames": 40, "frames_looked_at": 40, "fps": 25.0, "seconds": 1.6}
    facts |= {"width": 160, "height": 120, "damaged": None, "stopped": False, "pool": "product"}
    facts |= {"shared_error": 0.5, "coverage": 0.9, "unit": "years", "warnings": []}
    assert {key: answer[key] for key in facts} == facts
    assert [t["track"] for t in answer["tracks"]] == [1, 2]
    for track in answer["tracks"]:
        assert sum(track["distribution"].values()) == pytest.approx(1, abs=1e-4)
        assert track["interval"][0] <= track["value"] <= track["interval"][1]
        assert 1 < track["effective_frames"] < 2
        assert len(track["boxes"]) == 40
        assert f"{track['value']:.1f}" in printed.out
    with table.open() as file:
        rows = list(csv.DictReader(file))
    for row, track in zip(rows, answer["tracks"], strict=True):
        assert (row["film"], row["track"], row["pool"]) == (
            str(path),
            str(track["track"]),
            "product",
        )
        assert [float(row[k]) for k in ("value", "low", "high")] == [
            track["value"],
            *track["interval"],
        ]
        assert float(row["p[40]"]) == track["distribution"]["40"]
        assert (row["first_frame"], row["last_frame"], row["last_second"]) == ("0", "39", "1.56")
    drawn = frames_of(copy)
    assert len(drawn) == 40
    assert drawn[39][1] == pytest.approx(39 / 25, abs=1e-3)
    pixels, _ = drawn[20]
    assert min(pixels.shape[:2]) >= 320  # enlarged, to be read
    scale = pixels.shape[0] / 120
    x, y = (round(v * scale) for v in face_at(20, *TWO[0][1:]))
    orange = np.abs(pixels[y : y + round(SIDE * scale), x - 4 : x + 5].astype(int) - [230, 159, 0])
    assert (orange.max(axis=-1) < 60).any(axis=1).mean() > 0.6
    assert sorted(p.name for p in copy.parent.iterdir()) == ["copy.mp4"]


def test_odd_sizes_and_several_films_are_written(checkpoint, tmp_path, capsys):
    frames = [draw_frame(i, ONE, size=(331, 321)) for i in range(4)]
    odd = encode(tmp_path / "odd.mkv", frames, pix_fmt="yuv444p")
    other = film(tmp_path / "b.avi", 4, codec="mpeg4")
    arguments = [odd, other, f"--checkpoint={checkpoint}", DETECTOR, "--align=box", "--json=-"]
    assert call(*arguments, f"--annotate={tmp_path / 'drawn'}") == 0
    found = json.loads(capsys.readouterr().out)
    assert [f["film"] for f in found] == [str(odd), str(other)]
    assert [len(f["tracks"]) for f in found] == [1, 1]
    shapes = [frames_of(tmp_path / "drawn" / name)[3][0].shape for name in ("odd.mp4", "b.mp4")]
    assert shapes[0] == (320, 330, 3)


def test_frames_that_are_too_narrow_to_draw_on_are_answered(checkpoint, tmp_path, capsys):
    frames = [np.full((2, 600, 3), 100, np.uint8)] * 3
    path, copy = encode(tmp_path / "narrow.mkv", frames), tmp_path / "copy.mp4"
    arguments = [path, f"--checkpoint={checkpoint}", "--aligned", "--json=-"]
    assert call(*arguments, f"--annotate={copy}") == 1
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)[0]["tracks"]) == 1
    assert f"{copy}: cannot be written (frames of 600 x 2 pixels are too narrow" in printed.err
    assert not copy.exists()


def test_values_on_the_film_do_not_flicker(predictor):
    """Noise moves a frame's own value, and hardly the value that is drawn."""
    rng = np.random.default_rng(0)
    box = (60.0, 40.0, 88.0, 68.0)
    truth = draw_frame(0, [(1, (60, 40), (0, 0))])

    def detect(image):
        return [align.Face(box, align.TEMPLATE * 28 + [74, 54])]

    answers = answers_of(predictor, detect=detect)
    pictures = [np.clip(truth + rng.normal(0, 40, truth.shape), 0, 255) for _ in range(60)]
    stream = (Frame(i, i / 25, Image.fromarray(p.astype(np.uint8))) for i, p in enumerate(pictures))
    drawn = [s.answers[0].value for s in answers.answer(stream) if s.answers]
    own = [
        float(predictor.answer(predictor.fitted(align.cut(image, square, 32))[None]).value[0])
        for image in (Image.fromarray(p.astype(np.uint8)) for p in pictures)
        for square in [align.square_of(detect(image)[0], predictor.alignment)]
    ]
    assert np.abs(np.diff(drawn[20:])).mean() < 0.1 * np.abs(np.diff(own)).mean()


def test_ctrl_c_writes_what_was_answered(checkpoint, tmp_path, capsys, monkeypatch):
    path = film(tmp_path / "long.mp4", 120, [(1, (10, 20), (1, 0))])
    out, copy = tmp_path / "o.json", tmp_path / "copy.mp4"
    inner, count = drawn_film.detector(), 0

    def detect(image):
        nonlocal count
        count += 1
        if count == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return inner(image)

    monkeypatch.setattr(choice, "load", lambda name, **settings: detect)
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    try:
        arguments = [path, f"--checkpoint={checkpoint}", "--align=box", f"--json={out}"]
        assert call(*arguments, f"--annotate={copy}") == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, outside)
    assert "what was answered before is written" in capsys.readouterr().err
    (answer,) = json.loads(out.read_text())
    assert (answer["stopped"], answer["damaged"]) == (True, None)
    assert 19 <= answer["frames"] <= 21
    assert answer["tracks"][0]["frames"] == answer["frames"]
    assert len(frames_of(copy)) == answer["frames"]


def test_a_detector_that_fails_and_answers_that_are_no_numbers_are_said(
    predictor, tmp_path, monkeypatch
):
    path = film(tmp_path / "one.mp4", 12)
    inner, count = drawn_film.detector(), 0

    def detect(image):
        nonlocal count
        count += 1
        if count in (3, 7):
            raise RuntimeError("out of\nluck")
        return inner(image)

    result, lines = run(predictor, path, detect=detect)
    assert lines == [f"{path}: the detector failed in 2 of 12 frames (out of luck, in 2)"]
    assert [(t.first, t.last, t.frames) for t in result.tracks] == [(0, 11, 10)]
    answer = predictor.answer

    def broken(images):
        prediction = answer(images)
        value = np.array(prediction.value)
        value[[1, 2]] = np.nan
        return prediction._replace(value=value)

    monkeypatch.setattr(predictor, "answer", broken)
    result, lines = run(predictor, path)
    assert lines == [f"{path}: the network's answer is no number for 2 faces"]
    assert result.tracks[0].frames == 10
    result, lines = run(predictor, path, detect=lambda image: [])
    assert (lines, result.tracks) == ([f"{path}: no face was found in 12 frames"], ())


def test_an_annotated_film_that_cannot_be_written_loses_no_answer(
    checkpoint, tmp_path, capsys, monkeypatch
):
    path = film(tmp_path / "one.mp4", 30)

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    @contextlib.contextmanager
    def whole(path):
        yield Full()

    monkeypatch.setattr(writing, "whole", whole)
    copy = tmp_path / "copy.mp4"
    arguments = [path, f"--checkpoint={checkpoint}", DETECTOR, "--align=box", "--json=-"]
    assert call(*arguments, f"--annotate={copy}") == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)[0]["tracks"][0]["frames"] == 30
    (line,) = printed.err.splitlines()
    assert f"error: {copy}: cannot be written (No space left on device)" in line
    assert not copy.exists()


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv"])
def test_an_annotated_film_in_mpeg4_where_there_is_no_other_encoder(
    predictor, tmp_path, monkeypatch, suffix
):
    monkeypatch.setattr(writing, "_ENCODERS", {"none": {}, "mpeg4": writing._ENCODERS["mpeg4"]})
    copy = tmp_path / f"copy{suffix}"
    with (
        FilmReader(opening.open_film(film(tmp_path / "one.mp4", 8))) as reader,
        writing.Writer(copy, None) as writer,
    ):
        answer_film(reader, answers_of(predictor), predictor.space, writer=writer)
    assert writer.failed is None
    drawn = frames_of(copy)
    assert [seconds for _, seconds in drawn] == pytest.approx(np.arange(8) / 25, abs=2e-3)
    with av.open(str(copy)) as file:
        assert file.streams.video[0].codec_context.name == "mpeg4"
    corner = drawn[0][0][-20:-4, -20:-4].reshape(-1, 3).astype(int)
    assert np.abs(corner - [10, 20, 60]).max() < 25
    with pytest.raises(ValueError, match="expected a film's name, ending in"):
        writing.Writer(tmp_path / "copy.webm", 25)


def test_an_error_in_the_middle_leaves_no_film_and_no_thread(predictor, tmp_path):
    path = film(tmp_path / "one.mp4", 60)
    answers = answers_of(predictor)
    writer = writing.Writer(tmp_path / "copy.mp4", 25)
    before = threading.active_count()

    def show(seen):
        if seen.frame.index == 40:
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError), FilmReader(opening.open_film(path)) as reader, writer:
        answer_film(reader, answers, predictor.space, writer=writer, show=show)
    assert [p.name for p in tmp_path.iterdir()] == ["one.mp4"]
    assert threading.active_count() <= before


def test_a_damaged_film_is_answered_and_said_to_be_damaged(checkpoint, tmp_path, capsys):
    path = film(tmp_path / "cut.mp4", 40, container={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-2500])
    fine, none = film(tmp_path / "fine.mp4", 4), tmp_path / "none.mp4"
    none.write_text("no film")
    arguments = [path, none, fine, f"--checkpoint={checkpoint}", DETECTOR, "--align=box"]
    assert call(*arguments, "--json=-", f"--annotate={tmp_path / 'drawn'}") == 1
    printed = capsys.readouterr()
    cut, whole = json.loads(printed.out)
    count = cut["frames"]
    assert 5 < count < 40
    assert cut["damaged"]["from_frame"] == count
    assert cut["damaged"]["frames_lost"] == 40 - count
    assert cut["tracks"][0]["last_frame"] == count - 1
    assert (whole["film"], whole["damaged"]) == (str(fine), None)
    first, second = printed.err.splitlines()
    assert first.startswith(f"error: {path}: is damaged from frame {count} on (")
    assert first.endswith(f"cut off): {count} frames could be read, {40 - count} could not")
    assert second.startswith(f"error: {none}: cannot be read as a film (")
    assert len(frames_of(tmp_path / "drawn" / "cut.mp4")) == count


def test_seconds_end_a_film(checkpoint, tmp_path, capsys):
    path = film(tmp_path / "long.mp4", 60)
    arguments = [path, f"--checkpoint={checkpoint}", DETECTOR, "--align=box", "--json=-"]
    assert call(*arguments, "--seconds=0.5") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert (answer["frames"], answer["stopped"]) == (13, True)


def test_a_film_plays_the_camera(checkpoint, tmp_path, capsys, monkeypatch):
    path = film(tmp_path / "camera.mkv", 20)
    monkeypatch.setattr(opening, "camera_place", lambda name: (str(path), None, {}))
    arguments = ["--camera=0", f"--checkpoint={checkpoint}", DETECTOR, "--align=box", "--json=-"]
    assert call(*arguments, f"--annotate={tmp_path / 'copy.mkv'}") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert (answer["film"], answer["frames"], len(answer["tracks"])) == ("camera 0", 20, 1)
    assert len(frames_of(tmp_path / "copy.mkv")) == 20


@pytest.mark.skipif("lavfi" not in av.formats_available, reason="this PyAV draws no films")
def test_a_drawn_stream_plays_the_camera(checkpoint, capsys, monkeypatch):
    drawn = ("testsrc=size=160x120:rate=10", "lavfi", {})
    monkeypatch.setattr(opening, "camera_place", lambda name: drawn)
    arguments = ["--camera=0", f"--checkpoint={checkpoint}", "--aligned", "--json=-"]
    assert call(*arguments, "--seconds=0.8") == 0  # it would never end by itself
    (answer,) = json.loads(capsys.readouterr().out)
    assert (answer["frames"], len(answer["tracks"])) == (8, 1)


def test_a_method_that_gives_a_value_alone_has_a_mean(
    tmp_path, capsys, tiny_model, draw_weights, write_checkpoint
):
    method = methods.get("regression_l1", space=AGE)
    weights = draw_weights(tiny_model, method)
    stored = write_checkpoint(tmp_path / "c", weights, method={"name": "regression_l1"})
    path = film(tmp_path / "one.mp4", 5)
    arguments = [path, f"--checkpoint={stored}", DETECTOR, "--align=box", "--json=-"]
    assert call(*arguments) == 0
    printed = capsys.readouterr()
    (answer,) = json.loads(printed.out)
    assert (answer["pool"], answer["shared_error"]) == ("mean", None)
    assert answer["tracks"][0]["interval"] is None
    assert "regression_l1 gives a value alone: the frames' values are averaged" in printed.err
    assert call(*arguments, "--pool=product") == 1
    assert "pool: the method regression_l1 gives a value alone" in capsys.readouterr().err


@pytest.fixture(scope="module")
def calibrate():
    """`calibrate(predictor, count, options, groups)`: with a calibration of drawn labels."""

    def of(predictor, count=90, of_people=(), **options):
        rng = np.random.default_rng(0)
        p, y = rng.dirichlet(np.full(AGE.size, 0.3), count), rng.integers(0, 101, count)
        mark = network_mark(predictor.trained.params["head"])
        known = calibration.fit(p, y, AGE, Options(network=mark, **options), of_people)
        about = dataclasses.replace(predictor.about, calibration=known)
        return Predictor(about, predictor.trained)

    return of


def test_a_calibrated_film_has_what_most_of_its_frames_intervals_hold(
    predictor, calibrate, tmp_path
):
    calibrated, path = calibrate(predictor), film(tmp_path / "one.mp4", 9)
    for coverage in (0.8, 0.9):
        result, _ = run(calibrated, path, coverage=coverage)
        (track,) = result.tracks
        images, _ = map(np.stack, zip(*crops(predictor, path), strict=True))
        probs = calibrated.answer(images).probs
        low, high = calibrated.interval(probs, 1 - (1 - coverage) / 2)
        ages = np.arange(101)
        most = ages[((low[:, None] <= ages) & (ages <= high[:, None])).mean(0) > 0.5]
        ends = track.answer.low, track.answer.high
        assert ends == pytest.approx((most.min(), most.max()), abs=1)
    few = calibrate(predictor, 24)  # 16 for the intervals: enough for 90 %, and not for 95 %
    assert calibration.limits(few.about.calibration, 0.9) > 0
    with pytest.raises(ValueError, match=r"coverage: 0\.9 of a film needs intervals of 0\.95 of"):
        answers_of(few)


def test_a_calibrated_film_takes_the_group_s_thresholds(predictor, calibrate, tmp_path):
    groups = ["women", "men"] * 60
    calibrated = calibrate(predictor, 120, groups, groups=True)
    known = calibrated.about.calibration
    assert {cell.name for cell in known.groups} == {"women", "men"}
    limits = {name: calibration.limits(known, 0.95, name) for name in ("women", "men", "")}
    assert len(set(limits.values())) > 1
    pools = {name: Pools(calibrated, PoolSettings(group=name)) for name in limits}
    assert {name: float(pool._limit) for name, pool in pools.items()} == pytest.approx(limits)


def test_a_value_alone_that_is_calibrated_is_a_mean_with_an_interval(
    tiny_model, draw_weights, make_record, calibrate, tmp_path
):
    method = methods.get("regression_l1", space=AGE)
    about = make_record(method={"name": "regression_l1"})
    raw = Predictor(about, draw_weights(tiny_model, method))
    options = {"temperature": False, "recalibrate": False, "score": "rps"}
    calibrated = calibrate(raw, **options)
    result, _ = run(calibrated, film(tmp_path / "one.mp4", 5))
    assert result.pool == "mean"
    assert result.tracks[0].answer.low < result.tracks[0].answer.high


def test_films_are_asked_for_a_threshold_and_narrow_answers(
    checkpoint, predictor, calibrate, tmp_path, capsys
):
    path, out, table = film(tmp_path / "one.mp4", 6), tmp_path / "o.json", tmp_path / "o.csv"
    given = [path, f"--checkpoint={checkpoint}", "--aligned", f"--json={out}", f"--csv={table}"]
    copy = tmp_path / "copy.mp4"
    asked = ["--threshold=18", "--max-width=1", f"--annotate={copy}"]
    assert call(*given, *asked) == 0
    printed = capsys.readouterr().out
    (answer,) = json.loads(out.read_text())
    (track,) = answer["tracks"]
    expected = sum(p for age, p in track["distribution"].items() if int(age) >= 18)
    assert track["prob_at_least"] == pytest.approx(expected, rel=1e-5)
    assert (track["threshold"], track["max_width"], track["answered"]) == (18, 1, False)
    assert (track["value"], answer["calibrated"]) == (None, False)
    with table.open() as file:
        (row,) = csv.DictReader(file)
    assert (row["value"], row["answered"], float(row["low"])) == ("", "false", track["interval"][0])
    assert float(row["prob_at_least"]) == track["prob_at_least"]
    said = " ".join(printed.split())
    assert "P(>= 18)" in said
    assert "which is the model's own claim. No answer for 1 of 1" in said
    assert len(frames_of(copy)) == 6
    out.unlink()
    assert call(*given, "--threshold=101", "--max-width=0") == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert (
        "--threshold: expected within the model's labels, 0 to 100 years, got 101; --max" in errors
    )
    assert not out.exists()
    file = tmp_path / "few.safetensors"
    calibrate(predictor, 24).save(file)
    given[1] = f"--checkpoint={file}"
    assert call(*given) == 1
    errors = capsys.readouterr().err
    assert "--coverage: 0.9 of a film needs intervals of 0.95 of its frames" in errors
    assert "--raw" in errors
    assert call(*given, "--coverage=0.8") == 0
    assert "80% or more of the labels" in capsys.readouterr().out
    assert json.loads(out.read_text())[0]["calibrated"] is True


def test_a_folder_s_films_are_left_out_and_said(checkpoint, tmp_path, capsys):
    folder = tmp_path / "both"
    folder.mkdir()
    film(folder / "clip.mp4", 3)
    arguments = [folder, f"--checkpoint={checkpoint}", "--aligned", "--json=-"]
    assert call(*arguments) == 1
    hint = f"films are answered where they are named: launch.predict {folder / 'clip.mp4'}"
    assert hint in capsys.readouterr().err
    Image.fromarray(draw_frame(0, ONE)).save(folder / "a.png")
    assert call(*arguments) == 0
    printed = capsys.readouterr()
    assert [row["picture"] for row in json.loads(printed.out)] == [str(folder / "a.png")]
    assert "1 file left out: files with the suffix .mp4 are not read" in printed.err
    assert hint in printed.err


def test_mtcnn_finds_a_drawn_face_in_a_film(predictor, tmp_path):
    if not all(map(importlib.util.find_spec, ("joblib", "lz4", "mtcnn"))):
        pytest.skip("MTCNN's weights need pip install 'ldl_jax[align]'")
    face = synthetic.faces(count=8, size=224).images[1]
    frames = []
    for index in range(4):
        canvas = np.full((264, 320, 3), 120, np.uint8)
        canvas[20:244, 20 + 8 * index : 244 + 8 * index] = face
        frames.append(canvas)
    path = encode(tmp_path / "drawn.mp4", frames)
    result, lines = run(predictor, path, detect=choice.load("mtcnn"), every=3, boxes=True)
    assert lines == []
    assert [(t.first, t.last, t.frames) for t in result.tracks] == [(0, 3, 2)]
    (_, first), (_, last) = result.tracks[0].boxes
    np.testing.assert_allclose(np.subtract(last, first), [24, 0, 24, 0], atol=4)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["{film}", "{film2}", "--annotate={t}/x.mp4"],
            "--annotate: expected a folder for 2 films",
        ),
        (["{film}", "--annotate={film}"], "is one of the films"),
        (["{film}", "--annotate=x.gif"], "--annotate: expected a film's name, ending in .mp4"),
        (["{film}", "{t}/deep/one.mp4", "--annotate=y"], "would both be y/one.mp4"),
        (["{film}", "{t}"], "give films and pictures in two calls"),
        (["{film}", "--score-map=x"], "--score-map: of pictures alone"),
        (
            ["{film}", "--every=0", "--least-frames=0"],
            "--every: expected 1 or more, got 0; --least",
        ),
        (["{film}", "--shared-error=1.5"], "--shared-error: expected 0 to 1"),
        (["{film}", "--seconds=0"], "--seconds: expected above 0"),
        (["{film}", "--pool=sum"], "--pool"),
        (["{film}", "--json=x.mp4", "--annotate=x.mp4"], "both go to x.mp4"),
        (["{t}", "--every=2"], "--every: of films and cameras, and none is named"),
        (["{film}", "--camera=0"], "--camera: answers for the camera alone"),
        (["--camera="], "--camera: expected a number or a name"),
        (["--camera=0", "--annotate=x.avi"], "--annotate: expected a film's name"),
        (["--camera=97"], "camera 97: cannot be opened (/dev/video97 is no camera"),
        (["{t}/none.mp4"], "none.mp4: no such file or folder"),
    ],
)
def test_what_is_wrong_is_one_line(checkpoint, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    places = {"t": tmp_path, "film2": film(tmp_path / "two.mp4", 2)}
    places["film"] = film(tmp_path / "one.mp4", 2)
    film(tmp_path / "deep" / "one.mp4", 2)
    before = sorted(tmp_path.rglob("*"))
    given = [text.format(**places) for text in arguments]
    assert call(*given, f"--checkpoint={checkpoint}", DETECTOR, "--align=box") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert says in line
    assert sorted(tmp_path.rglob("*")) == before


def test_without_pyav_the_extra_is_named(checkpoint, tmp_path, monkeypatch, capsys):
    path = film(tmp_path / "one.mp4", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    assert call(path, f"--checkpoint={checkpoint}", "--aligned") == 1
    assert "pip install 'ldl_jax[video]'" in capsys.readouterr().err
