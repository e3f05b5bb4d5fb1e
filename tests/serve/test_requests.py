"""A server's answers are those of the command for pictures; what it refuses is one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ldl_jax
from ldl_jax import methods
from ldl_jax.data.align import TEMPLATE, Alignment, Face
from ldl_jax.evaluation import answers
from ldl_jax.labels import AGE
from ldl_jax.predict import faces
from tests.serve.serving import drawn, form, held, serving, together

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory, tiny_model, draw_weights, write_checkpoint, tiny_network):
    weights = draw_weights(tiny_model, methods.get("dldl", space=AGE), seed=3)
    return ldl_jax.load(write_checkpoint(tmp_path_factory.mktemp("c") / "c", weights))


@pytest.fixture(scope="module")
def running(predictor):
    with serving(predictor, max_megabytes=0.2, max_pictures=4, queue=8) as server:
        yield server


def detect(image):
    """Two faces in wide pictures, none in others, and an error for tall ones."""
    width, height = image.size
    if height > width:
        raise RuntimeError("out of\nluck")
    boxes = [(60, 50, 40), (140, 60, 20)] if width > height else []
    return [
        Face((x - s / 2, y - s / 2, x + s / 2, y + s / 2), TEMPLATE * s + [x, y])
        for x, y, s in boxes
    ]


def commanded(predictor, folder, parts, find, alignment):
    """What the command's functions say of the same pictures as files in the current folder."""
    for name, content in parts:
        (folder / name).write_bytes(content)
    pictures = list(
        faces.answer(
            predictor,
            [Path(name) for name, _ in parts],
            detect=find,
            alignment=alignment,
            batch=4,
        )
    )
    rows = [answer for picture in pictures for answer in picture.answers]
    text = answers.to_json(rows, AGE, 0.9, ["a warning"])
    return text, [problem for picture in pictures for problem in picture.problems]


def alike(text, other):
    """Whether two documents differ by the last digits of batches of other sizes alone."""
    for row, expected in zip(json.loads(text), json.loads(other), strict=True):
        assert list(row) == list(expected)
        for key in ("picture", "face", "box", "coverage", "calibrated", "unit", "warnings"):
            assert row[key] == expected[key]
        assert row["value"] == pytest.approx(expected["value"], rel=1e-5)
        assert row["interval"] == pytest.approx(expected["interval"], rel=1e-5)
        assert list(row["distribution"]) == list(expected["distribution"])
        np.testing.assert_allclose(
            list(row["distribution"].values()), list(expected["distribution"].values()), rtol=1e-4
        )
    return text.count("\n") == other.count("\n")


def test_one_picture_is_answered_as_by_the_command(predictor, running, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = drawn(1, (70, 50), "JPEG")
    text, problems = commanded(predictor, tmp_path, [("picture", content)], None, Alignment())
    assert not problems
    for kind in ("image/jpeg", "application/octet-stream", "IMAGE/PNG; x=y", ""):
        reply = running.ask(body=content, kind=kind)
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert alike(reply.body.decode(), text)


def test_pictures_of_a_form_are_answered_in_order(predictor, running, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts = [(f"{name}.png", drawn(seed)) for seed, name in enumerate(["b", "a", "é ü"])]
    text, _ = commanded(predictor, tmp_path, parts, None, Alignment())
    reply = running.ask("/predict", *form(*parts))
    assert reply.status == 200
    assert alike(reply.body.decode(), text)


def test_what_the_command_refuses_is_refused_in_the_same_words(predictor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = drawn(2, (200, 120), "JPEG")
    parts = [
        ("group.jpg", whole),
        ("cut.jpg", whole[: len(whole) // 2]),
        ("text.png", b"no picture"),
        ("none.png", drawn(3)),
        ("tall.png", drawn(4, (30, 60))),
        ("empty.png", b""),
    ]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 25_000)
    parts.append(("huge.png", drawn(5, (300, 200))))
    alignment = Alignment("box", 0.1)
    text, problems = commanded(predictor, tmp_path, parts, detect, alignment)
    assert len(problems) == 6
    with serving(predictor, detect=detect, alignment=alignment) as running:
        reply = running.ask("/predict", *form(*parts))
        assert reply.status == 207
        assert alike(json.dumps(reply.json["answers"]), json.dumps(json.loads(text)))
        assert [row["face"] for row in reply.json["answers"]] == [1, 2]
        assert [x["picture"] for x in reply.json["problems"]] == [name for name, _ in parts[1:]]
        assert [x["status"] for x in reply.json["problems"]] == [422, 415, 422, 422, 415, 413]
        said = [x["error"] for x in reply.json["problems"]]
        # The command reads a file, and calls it so; the server names bytes by their number.
        assert said[0] == problems[0]
        assert said[1] == "text.png: cannot be read as a picture (10 bytes of no known format)"
        assert said[2:4] == problems[2:4]
        assert said[5] == problems[5]
        alone = running.ask(body=parts[5][1] or b"x")
        assert (alone.status, alone.error.count("picture: cannot be read")) == (415, 1)
        worse = running.ask("/predict", *form(*parts[1:3]))
        assert worse.status == 422
        assert worse.error == "; ".join(said[:2])
        assert len(worse.json["problems"]) == 2


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b"", "image/png", 400, "body: expected a picture, got 0 bytes"),
        (b"x", "text/plain", 415, "content-type: expected image/*, application/octet-stream or"),
        (b"x", "application/x-www-form-urlencoded", 415, "got application/x-www-form-urlencoded"),
        (b"x", "image/png", 415, "picture: cannot be read as a picture (1 bytes of no known"),
        (drawn()[:-20], "image/png", 422, "picture: cannot be read as a picture (the PNG is cut"),
        (bytes(300_000), "image/png", 413, "body: expected at most 200,000 bytes, got 300,000"),
        (b"junk", "multipart/form-data; boundary=x", 400, "body: expected multipart/form-data"),
        (b"junk", "multipart/form-data", 400, "boundary"),
        (*form(), 400, "body: expected pictures as files of a form, got none"),
        (*form(*[("a", b"x")] * 5), 413, "pictures: expected at most 4, more came"),
        (form(("a", b"x"))[0].replace(b"filename", b"other"), form()[1], 400, "files alone"),
        (form(("a", b"x"))[0][:-9], form()[1], 400, "its end is missing"),
    ],
)  # fmt: skip
def test_a_request_that_is_wrong_is_one_line(running, body, kind, status, says):
    reply = running.ask(body=body, kind=kind)
    assert reply.status == status
    assert says in reply.error


def test_other_paths_methods_and_encodings(running):
    reply = running.ask("/predict")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert reply.error == "method: expected POST, got GET"
    assert running.ask("/predict", b"x", method="PUT").status == 405
    reply = running.ask("/predict/", b"x")
    assert reply.status == 404
    assert reply.error.endswith("got /predict/")
    assert running.ask("/..%2f..%2fetc%2fpasswd").status == 404
    reply = running.ask(body=b"x", headers={"Content-Encoding": "gzip"})
    assert (reply.status, reply.error) == (415, "content-encoding: expected none, got gzip")


def test_a_name_is_shown_as_the_text_that_it_is(running):
    reply = running.ask("/predict", *form(("a\x1b[2J<b>.png", b"x")))
    assert reply.status == 415
    assert b"\x1b" not in reply.body
    assert reply.error.startswith("a\\x1b[2J<b>.png: ")
    good = running.ask("/predict", *form(("\x07" * 900, drawn())))
    assert b"\x07" not in good.body
    assert good.json[0]["picture"] == "\x07" * 200


def test_what_arrives_together_is_answered_together(predictor, monkeypatch):
    with serving(predictor, wait=200.0) as running:
        with held(predictor, monkeypatch) as (gate, batches):
            first, _ = together(lambda: running.ask(body=drawn()))
            running.wait_for(lambda: batches)
            rest, replies = together(*[lambda: running.ask(body=drawn())] * 6)
            running.wait_for(lambda: running.service.workers.inside() == 7)
            gate.set()
            for thread in first + rest:
                thread.join()
        assert [reply.status for reply in replies] == [200] * 6
        assert batches == [1, 4, 2]
        assert running.meter("ldl_batch_faces_sum") == 7
        assert running.meter('ldl_pictures_total{outcome="answered"}') == 7
        assert running.meter('ldl_requests_total{path="/predict",status="200"}') == 7
        assert running.meter('ldl_request_seconds_count{path="/predict"}') == 7
        assert running.meter("ldl_queue_pictures") == 0
        assert running.meter("ldl_held_bytes") == 0
        if Path("/proc/self/stat").exists():
            assert running.meter("process_resident_memory_bytes") > 1e7


def test_a_full_queue_takes_no_more(predictor, monkeypatch):
    with (
        serving(predictor, queue=2, max_pictures=2) as running,
        held(predictor, monkeypatch) as (gate, _),
    ):
        threads, replies = together(*[lambda: running.ask(body=drawn())] * 2)
        running.wait_for(lambda: running.service.workers.inside() == 2)
        full = running.ask(body=drawn())
        assert (full.status, full.headers["Retry-After"]) == (429, "1")
        assert full.error == "queue: it takes 2 pictures, 2 wait and 1 came; try again later"
        gate.set()
        for thread in threads:
            thread.join()
        assert [reply.status for reply in replies] == [200, 200]


def test_an_answer_that_is_late_is_none(predictor, monkeypatch):
    with (
        serving(predictor, timeout=0.3) as running,
        held(predictor, monkeypatch) as (gate, _),
    ):
        late = running.ask(body=drawn())
        assert late.status == 504
        assert "expected an answer in 0.3 s" in late.error
        gate.set()
        running.wait_for(lambda: running.service.workers.inside() == 0)


def test_an_answer_that_is_no_number_and_a_network_that_fails(
    predictor, running, monkeypatch, capsys
):
    answer = predictor.answer

    def broken(images):
        prediction = answer(images)
        return prediction._replace(value=np.full_like(prediction.value, np.nan))

    monkeypatch.setattr(predictor, "answer", broken)
    reply = running.ask(body=drawn())
    assert (reply.status, reply.error) == (
        500,
        "picture: face 1: the network's answer is no number",
    )

    def failing(images):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(predictor, "answer", failing)
    reply = running.ask(body=drawn())
    assert (reply.status, reply.error) == (500, "server: it failed; its operator is told why")
    assert capsys.readouterr().err == "error: /predict: RuntimeError: out of memory\n"
    monkeypatch.setattr(predictor, "answer", answer)
    assert running.ask(body=drawn()).status == 200


def test_it_is_ready_once_its_programs_are_compiled(predictor, monkeypatch):
    with (
        held(predictor, monkeypatch) as (gate, batches),
        serving(predictor, ready=False) as running,
    ):
        reply = running.ask("/healthz")
        assert (reply.status, reply.json) == (503, {"status": "compiling"})
        reply = running.ask(body=drawn())
        assert reply.status == 503
        assert reply.error == "server: expected it to be ready, it is compiling; try again later"
        gate.set()
        assert running.service.workers.wait()
        assert batches == [1, 2, 4]
        reply = running.ask("/healthz")
        assert (reply.status, reply.json) == (200, {"status": "ready"})


def test_the_page_without_a_site_says_how_to_ask(running):
    reply = running.ask("/")
    assert reply.status == 200
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    text = reply.body.decode()
    assert "tiny with the method dldl answers in years" in text
    assert "none is kept or logged" in text
    assert "4 pictures" in text
    assert "predict?threshold=18&amp;max_width=20" in text
    assert "Intervals hold 90% of the distribution, which is the model&#x27;s own claim." in text


def test_a_site_is_shown_and_nothing_outside_of_it(predictor, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<p>mine")
    (site / "model.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret").write_text("secret")
    (site / "link").symlink_to(tmp_path / "secret")
    with serving(predictor, site=site) as running:
        assert running.ask("/").body == b"<p>mine"
        assert running.ask("/model.wasm").headers["Content-Type"] == "application/wasm"
        for path in ("/../secret", "/%2e%2e/secret", "/link", "//etc/passwd", "/x%00y"):
            reply = running.ask(path)
            assert reply.status == 404, path
            assert "path: expected one of" in reply.error
        assert running.ask("/index.html", b"x").status == 405
        assert running.ask("/healthz").json == {"status": "ready"}
        assert running.ask(body=drawn()).status == 200


def test_a_request_asks_for_a_threshold_and_narrow_answers(running):
    raw = running.ask(body=drawn()).json[0]
    assert raw["calibrated"] is False
    assert not {"threshold", "prob_at_least", "max_width", "answered"} & {*raw}
    row = running.ask("/predict?threshold=18&max_width=0.5", body=drawn()).json[0]
    expected = sum(p for age, p in raw["distribution"].items() if int(age) >= 18)
    assert row["prob_at_least"] == pytest.approx(expected, rel=1e-4)
    assert (row["threshold"], row["max_width"], row["answered"]) == (18, 0.5, False)
    assert (row["value"], row["interval"]) == (None, raw["interval"])
    assert running.ask("/predict?max_width=500", body=drawn()).json[0]["answered"] is True


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("threshold=120", "threshold: expected within the model's labels, 0 to 100 years, got 120"),
        ("threshold=x&max_width=", "threshold: expected a number, got 'x'; max_width: expected a"),
        ("threshold=nan", "threshold: expected a number, got 'nan'"),
        ("threshold=18&threshold=21", "threshold: expected once, it comes twice"),
        ("max_width=-1", "max_width: expected above 0 years, got -1"),
        ("max_width=inf", "max_width: expected above 0 years, got inf"),
        ("treshold=18", "query: expected some of threshold, max_width, got 'treshold'"),
        ("a" * 5000, "query: expected some of threshold, max_width, got 'aaa"),
        ("threshold=1" + "0" * 500, "threshold: expected within the model's labels"),
    ],
)
def test_a_query_that_is_wrong_is_one_line(running, query, says):
    reply = running.ask(f"/predict?{query}", body=drawn())
    assert reply.status == 400
    assert says in reply.error
    assert len(reply.error) < 300


def test_a_server_s_own_threshold_is_every_request_s(predictor):
    asked = answers.Asked(threshold=18)
    with serving(predictor, asked=asked) as running:
        assert running.ask(body=drawn()).json[0]["threshold"] == 18
        assert running.ask("/predict?threshold=21", body=drawn()).json[0]["threshold"] == 21
        row = running.ask("/predict?max_width=5", body=drawn()).json[0]
        assert (row["threshold"], row["max_width"]) == (18, 5)
