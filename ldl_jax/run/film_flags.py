"""The flags of `launch.predict` that are of films and cameras."""

import math

from absl import flags

from ldl_jax.factories import is_own
from ldl_jax.run.pairs import pairs
from ldl_jax.video import own_tracker
from ldl_jax.video.pools import POOLINGS
from ldl_jax.video.tracking import MakeTracker, Tracker

CAMERA = flags.DEFINE_string(
    "camera", None, "answer for a camera: its number, from 0, or its name; Ctrl-C ends it"
)
EVERY = flags.DEFINE_integer(
    "every", 1, "of films: look for faces in every so many frames, and follow them between"
)
POOL = flags.DEFINE_enum(
    "pool",
    None,
    POOLINGS,
    "of films: how a face's frames are pooled; the product narrows with frames, the mean does not; "
    "by default the product, and the mean for methods that give a value alone",
)
SHARED = flags.DEFINE_float(
    "shared-error",
    0.5,
    "of films: the part of a frame's error that all frames of a face share, from 0 to 1",
)
LEAST = flags.DEFINE_integer(
    "least-frames", 3, "of films: a face with an answer in fewer frames is left out"
)
BOXES = flags.DEFINE_boolean(
    "boxes", False, "of films: the JSON has the box of each face in each frame"
)
TRACKER = flags.DEFINE_string(
    "tracker", "", "of films: what follows the faces, package.module:factory; by default our own"
)
TRACKER_OPTION = flags.DEFINE_multi_string(
    "tracker-option", [], "NAME=VALUE of the tracker's factory; may be repeated"
)
SECONDS = flags.DEFINE_float(
    "seconds", None, "of films: stop after so many seconds; by default at the end"
)
ALL = (CAMERA, EVERY, POOL, SHARED, LEAST, BOXES, SECONDS, TRACKER, TRACKER_OPTION)


def tracker_of() -> MakeTracker:
    """Returns what makes the tracker that the flags name, one for each film."""
    if not TRACKER.value:
        return Tracker
    options = pairs(TRACKER_OPTION.name, TRACKER_OPTION.value)
    return lambda: own_tracker.OwnTracker(TRACKER.value, options)


def check() -> None:
    """Raises ValueError where flags have values that films cannot be answered with."""
    faults = []
    if EVERY.value < 1:
        faults.append(f"--every: expected 1 or more, got {EVERY.value}")
    if not 0 <= SHARED.value <= 1:
        faults.append(f"--shared-error: expected 0 to 1, got {SHARED.value}")
    if LEAST.value < 1:
        faults.append(f"--least-frames: expected 1 or more, got {LEAST.value}")
    if SECONDS.value is not None and not (0 < SECONDS.value < math.inf):
        faults.append(f"--seconds: expected above 0, got {SECONDS.value}")
    if CAMERA.value == "":
        faults.append("--camera: expected a number or a name, got an empty one")
    if TRACKER.value and not is_own(TRACKER.value):
        faults.append(f"--tracker: expected package.module:factory, got {TRACKER.value!r}")
    if TRACKER_OPTION.value and not TRACKER.value:
        faults.append("--tracker-option: is of a tracker of one's own; name it with --tracker")
    if faults:
        raise ValueError("; ".join(faults))
    if TRACKER.value:
        own_tracker.check(TRACKER.value, pairs(TRACKER_OPTION.name, TRACKER_OPTION.value))
