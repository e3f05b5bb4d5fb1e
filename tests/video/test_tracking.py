"""Which box belongs to which face."""

import numpy as np
import pytest

from ldl_jax.video.tracking import Tracker


def square(x, y, side=20.0):
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def test_two_faces_that_cross_keep_their_numbers():
    tracker = Tracker()
    for frame in range(41):
        a, b = square(10 + 4 * frame, 50), square(170 - 4 * frame, 58)
        boxes = [a, b] if frame % 2 else [b, a]  # a detector gives them in any order
        numbers = tracker.update(boxes, frame / 25)
        assert numbers == ([1, 0] if frame % 2 else [0, 1]), frame


def test_a_face_is_predicted_over_frames_without_it():
    tracker = Tracker()
    for frame in range(6):
        tracker.update([square(20 + 5 * frame, 40)], frame / 25)
    for frame in range(6, 11):
        assert tracker.update([], frame / 25) == []
    (face,) = tracker.followed
    middle = face.predicted(10 / 25).reshape(2, 2).mean(axis=0)
    np.testing.assert_allclose(middle, [70, 40], atol=1.5)
    assert tracker.update([square(75, 40)], 11 / 25) == [0]
    assert face.misses == 0


def test_a_track_ends_after_its_patience_and_its_number_is_not_used_again():
    tracker = Tracker(patience=0.5, looks=3)
    assert tracker.update([square(20, 40)], 0.0) == [0]
    for frame in range(1, 12):
        tracker.update([], 0.04 * frame)
    assert len(tracker.followed) == 1  # 0.44 s
    tracker.update([], 0.55)
    assert tracker.followed == []
    assert tracker.update([square(20, 40)], 0.6) == [1]


def test_seconds_between_frames_do_not_end_a_track_that_was_hardly_looked_for():
    tracker = Tracker(patience=0.5, looks=3)
    tracker.update([square(20, 40)], 0.0)
    tracker.update([], 5.0)
    assert tracker.update([square(21, 40)], 10.0) == [0]


def test_a_jump_within_the_wider_box_is_followed_and_a_far_one_is_not():
    tracker = Tracker()
    tracker.update([square(20, 40)], 0.0)
    assert tracker.update([square(44, 40)], 0.04) == [0]  # the boxes themselves are apart
    tracker = Tracker()
    tracker.update([square(20, 40)], 0.0)
    assert tracker.update([square(90, 40)], 0.04) == [1]


def test_the_best_sum_of_overlaps_is_taken():
    """Greedily the first face would take the second one's box."""
    tracker = Tracker()
    tracker.update([square(0, 0), square(14, 0)], 0.0)
    assert tracker.update([square(10, 0), square(24, 0)], 0.04) == [0, 1]


def test_restart_begins_new_tracks():
    tracker = Tracker()
    tracker.update([square(20, 40)], 0.0)
    tracker.restart()
    assert tracker.update([square(20, 40)], 0.04) == [1]


def test_the_drawn_box_trembles_less_than_the_found_one():
    rng = np.random.default_rng(0)
    tracker = Tracker()
    drawn, found = [], []
    for frame in range(60):
        box = np.asarray(square(30 + 2 * frame, 40)) + rng.normal(0, 1, 4)
        tracker.update([tuple(box)], frame / 25)
        drawn.append(tracker.followed[0].shown)
        found.append(box)
    steps = [np.diff(np.stack(x)[5:], n=2, axis=0).std() for x in (drawn, found)]
    assert steps[0] < 0.8 * steps[1]


@pytest.mark.parametrize("box", [(5.0, 5.0, 5.0, 5.0), (9.0, 9.0, 3.0, 3.0)])
def test_a_box_without_an_area_is_a_track_of_its_own(box):
    tracker = Tracker()
    assert tracker.update([box], 0.0) == [0]
    assert tracker.update([box], 0.04)[0] in (0, 1)
