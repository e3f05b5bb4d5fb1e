"""Shows the answers for films as a table, as JSON and as CSV."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence

from ldl_jax import calibration
from ldl_jax.calibration import Calibration
from ldl_jax.evaluation import answers, cells
from ldl_jax.evaluation.answers import NOTHING, Asked
from ldl_jax.evaluation.grid import Column, Grid
from ldl_jax.labels import LabelSpace
from ldl_jax.video.pools import Pooling, PoolSettings, Track
from ldl_jax.video.reading import Damage


@dataclasses.dataclass(frozen=True, eq=False)
class Film:
    """The outcome for a film.

    Attributes:
      name: its path, or the camera's name.
      frames: how many frames were read.
      looks: in how many of them faces were looked for.
      fps: frames a second; None where the film does not say.
      seconds: where the last frame that was read ends.
      size: width and height of a frame as it is stored.
      damage: from where on it is damaged, or None.
      stopped: whether it was left before its end: by Ctrl-C, or by a limit of seconds.
      pool: how the frames of a track are pooled.
      tracks: the faces that were followed.
      left_out: how many tracks had too few frames.
    """

    name: str
    frames: int
    looks: int
    fps: float | None
    seconds: float
    size: tuple[int, int]
    damage: Damage | None
    stopped: bool
    pool: Pooling
    tracks: tuple[Track, ...]
    left_out: int


def table(
    films: Sequence[Film],
    space: LabelSpace,
    settings: PoolSettings,
    known: Calibration | None = None,
) -> Grid:
    """Returns a table for the terminal, a row a track; `known` is the model's calibration."""
    pools = " and ".join(sorted({film.pool for film in films}))
    asked, tracks = settings.asked, [track.answer for film in films for track in film.tracks]
    note = (
        f"Values in {space.unit}, the {pools} of the frames' distributions; intervals hold "
        f"{_held(known, settings)}.{answers.asked_note(tracks, asked)}"
    )
    names = ["film", "track", "frames", "seconds", "value", "interval"]
    columns = [Column(x, right=x != "film") for x in names + answers.asked_heading(asked)]
    rows = []
    for film in films:
        for track in film.tracks:
            value, _, interval = answers.summary(track.answer, space).partition(" ")
            when = f"{track.first_second:.1f}-{track.last_second:.1f}"
            row = film.name, str(track.answer.face), str(track.frames), when, value, interval
            rows.append((*row, *answers.asked_cell(track.answer, asked)))
    return Grid(columns, rows, caption=note)


def _held(known: Calibration | None, settings: PoolSettings) -> str:
    """Returns what films' intervals hold, in words."""
    coverage = settings.coverage
    if known is None:
        return f"{100 * coverage:.4g}% of it, which is the model's own claim"
    each = calibration.single_coverage(coverage)
    held = calibration.held(known, coverage, settings.group)
    return f"{held}: the labels in most of the frames' intervals of {100 * each:.4g}%"


def to_json(
    films: Sequence[Film],
    space: LabelSpace,
    settings: PoolSettings,
    warnings: Sequence[str] = (),
    *,
    calibrated: bool = False,
) -> str:
    """Returns a JSON document, a list with an object a film.

    Keys: film, frames, frames_looked_at, fps or null, seconds, width, height, damaged (null, or
    from_frame, from_second, reason and frames_lost), stopped, pool, shared_error (null of a mean),
    coverage, calibrated, unit, warnings, short_tracks (left out), and tracks, each with track,
    frames, effective_frames (null of a mean), first_frame, last_frame, first_second, last_second,
    value, interval, those of what is asked (as of `answers.to_json`), boxes (lists of frame, left,
    top, right, bottom; where they were asked for) and distribution.
    """
    texts = []
    for film in films:
        head = _text(_film_fields(film, space, settings, warnings, calibrated))
        tracks = [_text(_track_fields(track, space, settings)) for track in film.tracks]
        inside = "\n  " + ",\n  ".join(tracks) + "\n" if tracks else ""
        texts.append(f'{head[:-1]}, "tracks": [{inside}]}}')
    return "[\n" + ",\n".join(texts) + "\n]\n" if texts else "[]\n"


def to_csv(films: Sequence[Film], space: LabelSpace, asked: Asked = NOTHING) -> str:
    """Returns the text of a CSV file, a row a track.

    Columns: film, track, frames, first_frame, last_frame, first_second, last_second, pool, value,
    low, high, those of what is asked (as of `answers.to_csv`), p[l_1] ... p[l_K].
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    first = ("film", "track", "frames", "first_frame", "last_frame", "first_second", "last_second")
    names = [f"p[{name}]" for name in answers.label_names(space)]
    numbers = ["pool", "value", "low", "high"]
    writer.writerow([*first, *numbers, *answers.asked_columns(asked), *names])
    for film in films:
        for track in film.tracks:
            answer = track.answer
            value = answer.value if answer.answered else None
            three = map(answers.shortest, (value, answer.low, answer.high))
            further = answers.asked_values(answer, asked)
            where = (track.frames, track.first, track.last)
            when = (round(track.first_second, 3), round(track.last_second, 3))
            head = cells.spreadsheet(film.name), answer.face, *where, *when, film.pool
            writer.writerow([*head, *three, *further, *map(answers.shortest, answer.probs)])
    return text.getvalue()


def _film_fields(
    film: Film,
    space: LabelSpace,
    settings: PoolSettings,
    warnings: Sequence[str],
    calibrated: bool,
) -> dict[str, object]:
    damage = film.damage
    return {
        "film": film.name,
        "frames": film.frames,
        "frames_looked_at": film.looks,
        "fps": None if film.fps is None else round(film.fps, 4),
        "seconds": round(film.seconds, 3),
        "width": film.size[0],
        "height": film.size[1],
        "damaged": None
        if damage is None
        else {
            "from_frame": damage.frame,
            "from_second": round(damage.seconds, 3),
            "reason": damage.reason,
            "frames_lost": damage.lost,
        },
        "stopped": film.stopped,
        "pool": film.pool,
        "shared_error": settings.shared if film.pool == "product" else None,
        "coverage": settings.coverage,
        "calibrated": calibrated,
        "unit": space.unit,
        "warnings": list(warnings),
        "short_tracks": film.left_out,
    }


def _track_fields(track: Track, space: LabelSpace, settings: PoolSettings) -> dict[str, object]:
    answer, names = track.answer, answers.label_names(space)
    fields: dict[str, object] = {
        "track": answer.face,
        "frames": track.frames,
        "effective_frames": None if track.worth is None else round(track.worth, 3),
        "first_frame": track.first,
        "last_frame": track.last,
        "first_second": round(track.first_second, 3),
        "last_second": round(track.last_second, 3),
        "value": answers.shortest(answer.value if answer.answered else None),
        "interval": answers.interval_of(answer),
        **answers.asked_fields(answer, settings.asked),
    }
    if settings.boxes:
        fields["boxes"] = [[frame, *(round(x, 1) for x in box)] for frame, box in track.boxes]
    probs = map(answers.shortest, answer.probs)
    return fields | {"distribution": dict(zip(names, probs, strict=True))}


def _text(fields: dict[str, object]) -> str:
    return cells.json_text(json.dumps(fields, ensure_ascii=False, allow_nan=False))
