"""A tracker that a user brings along: followed through a film, and what it must keep to."""

import pytest
from PIL import Image

from ldl_jax import methods
from ldl_jax.labels import AGE
from ldl_jax.predict.predictor import Predictor
from ldl_jax.video import own_tracker
from ldl_jax.video.own_tracker import OwnTracker
from tests.launch.in_process import predicted

CODE = '''
import itertools, math

def nearest(reach=100):
    """Gives a box the number of the nearest middle so far."""
    known, fresh = {}, itertools.count(5)
    def track(boxes, seconds):
        numbers = []
        for left, top, right, bottom in boxes:
            middle = (left + right) / 2, (top + bottom) / 2
            free = [n for n in known if n not in numbers and math.dist(known[n], middle) < reach]
            number = min(free, key=lambda n: math.dist(known[n], middle), default=None)
            number = next(fresh) if number is None else number
            known[number] = middle
            numbers.append(number)
        return numbers
    return track

class Seen:
    def __init__(self): self.sizes, self.cuts = [], 0
    def __call__(self, boxes, seconds, image):
        self.sizes.append(image.size)
        return list(range(len(boxes)))
    def restart(self): self.cuts += 1

def nothing(): return None
def short(): return lambda boxes, seconds: [0]
def texts(): return lambda boxes, seconds: ["a"] * len(boxes)
def same(): return lambda boxes, seconds: [1] * len(boxes)
def fails(): return lambda boxes, seconds: boxes[5]
def fresh():
    count = itertools.count()
    return lambda boxes, seconds: [next(count) for _ in boxes]
def breaks():
    calls = itertools.count()
    inner = nearest()
    def track(boxes, seconds):
        if seconds > 0.2 and next(calls) < 2:
            raise RuntimeError("lost")
        return inner(boxes, seconds)
    return track
'''
BOXES = [(10, 10, 30, 30), (200, 10, 220, 30)]


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "my_tracker.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)


def test_its_numbers_become_tracks_that_go_on_however_late_a_face_comes_back():
    tracker = OwnTracker("my_tracker:nearest", {"reach": 50})
    assert tracker.update(BOXES, 0.0) == [0, 1]
    assert tracker.update(BOXES[::-1], 0.04) == [1, 0]
    assert tracker.update([], 60.0) == []
    assert [track.misses for track in tracker.followed] == [1, 1]
    assert tracker.update(BOXES[1:], 120.0) == [1]
    assert tracker.followed[1].misses == 0
    tracker.restart()
    assert tracker.followed == []
    assert tracker.update(BOXES, 121.0) == [2, 3]  # made anew; its numbers are not used again


def test_a_tracker_may_look_at_the_frame_and_be_told_of_cuts():
    tracker = OwnTracker("my_tracker:Seen", {})
    assert tracker.update(BOXES, 0.0, Image.new("RGB", (64, 48))) == [0, 1]
    tracker.restart()
    assert tracker.update(BOXES, 0.1, Image.new("RGB", (64, 48))) == [0, 1]
    assert (tracker._track.sizes, tracker._track.cuts) == ([(64, 48)] * 2, 1)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "gave NoneType, expected a function of boxes and seconds"),
        ("short", r"gave \[0\] for 2 boxes, expected a list of a whole number"),
        ("texts", r"gave \['a', 'a'\] for 2 boxes, expected a list of a whole number"),
        ("same", r"gave \[1, 1\] for 2 boxes, expected .*, each another one"),
        ("fails", r"raised IndexError: tuple index out of range|raised IndexError: list index"),
        ("fresh", "gave other numbers in a second frame .*: a face keeps its number"),
    ],
)
def test_a_tracker_that_breaks_the_contract(name, says):
    with pytest.raises(ValueError, match=rf"^tracker: 'my_tracker:{name}' (?:{says})"):
        own_tracker.check(f"my_tracker:{name}", {})


@pytest.mark.usefixtures("tiny_network")
def test_films_are_followed_by_the_tracker_of_the_command_line(
    tmp_path, tiny_model, draw_weights, make_record, write_checkpoint, capsys
):
    pytest.importorskip("av", reason="films need PyAV: pip install 'ldl_jax[video]'")
    from ldl_jax.video import opening
    from ldl_jax.video.answering import FilmAnswers
    from ldl_jax.video.film import answer_film, problems
    from ldl_jax.video.reading import FilmReader
    from tests.video import drawn_film

    path = drawn_film.film(tmp_path / "two.mkv", 12, drawn_film.TWO)
    predictor = Predictor(make_record(), draw_weights(tiny_model, methods.get("dldl", space=AGE)))

    def tracks_of(name):
        answers = FilmAnswers(
            predictor,
            detect=drawn_film.detector(),
            alignment=predictor.alignment,
            tracker=lambda: OwnTracker(f"my_tracker:{name}", {}),
        )
        with FilmReader(opening.open_film(path)) as reader:
            film = answer_film(reader, answers, predictor.space)
        return [track.frames for track in film.tracks], problems(film, answers)

    assert tracks_of("nearest") == ([12, 12], [])
    frames, lines = tracks_of("breaks")
    assert frames == [10, 10]
    says = "two.mkv: faces could not be followed in 2 of 12 frames (tracker: 'my_tracker:breaks'"
    assert says in lines[0]
    given = [path, f"--checkpoint={tmp_path}", "--detector=tests.video.drawn_film:detector"]
    assert predicted(*given, "--tracker=my_tracker:same") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: tracker: 'my_tracker:same' gave [1, 1]")
    assert predicted(*given, "--tracker=sort", "--tracker-option=reach=3") == 1
    assert "--tracker: expected package.module:factory, got 'sort'" in capsys.readouterr().err
    assert predicted(*given, "--tracker-option=reach=3") == 1
    assert "--tracker-option: is of a tracker of one's own" in capsys.readouterr().err
    assert predicted(*given, "--tracker=my_tracker:nearest", "--tracker-option=near=3") == 1
    assert "--tracker-option=near: 'my_tracker:nearest' has no such" in capsys.readouterr().err
