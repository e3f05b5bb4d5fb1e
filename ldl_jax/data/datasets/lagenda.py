"""LAGENDA: 67,159 pictures of Open Images, in which 84,192 people have a voted age and sex."""

from pathlib import Path

from ldl_jax.data.datasets import boxes
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, of_rows, to_records
from ldl_jax.data.datasets.folders import Left, left_notes
from ldl_jax.data.datasets.tables import LayoutError, Row, Table, find, read_csv
from ldl_jax.data.records import Faults, Records
from ldl_jax.files import listed

LIST = "lagenda_annotation.csv"
EDGES = ("face_x0", "face_y0", "face_x1", "face_y1")
# The list names this picture, and the release does not have it.
ABSENT = "lag_benchmark/b5c8ef090f134ad5.jpg.jpg"


@rooted
def read(root: Path) -> Records:
    """Lists the faces with an age, of whole pictures that may hold several; there is no split.

    An id is the picture's path and, after a "#", which of the list's rows of that picture it is,
    from 1. `boxes` are the faces': cut them out with launch.prepare --align=box (or "similarity" or
    "quad", which take the landmarks that a detector finds there); a run on the pictures as they
    are is refused. The notes count rows without an age (people in the background) and those without
    a face's box (seen from behind), which are left out. Boxes of persons are not read.

    Who is shown is not known: `subjects` are the pictures, so that the protocol "subject" keeps the
    faces of one picture together.

    Licence: Open Images lists its pictures as CC BY 2.0 (from memory); what LAGENDA's own page says
    was not seen.
    Source: M. Kuprashevich and I. Tolstykh, "MiVOLO: Multi-input Transformer for Age and Gender
    Estimation", 2023. Names of the files and columns (img_name, age, gender, face_x0, ...,
    person_y1): MiVOLO's README and its scripts; -1 for what is not known, the counts and the
    absent picture: public readers of the list. No copy was seen.
    """
    faults = Faults("lagenda")
    table = read_csv(find(root, LIST), root, faults)
    left: Left = {}
    entries = _entries(table, root, left, faults)
    if not entries and not faults:
        raise LayoutError(f"{LIST} names no face with an age and a box")
    notes = (
        *left_notes(left),
        "subjects are pictures, not persons: who is shown is not known",
    )
    return to_records("lagenda", entries, notes=notes, faults=faults)


def _entries(table: Table, root: Path, left: Left, faults: Faults) -> list[Entry]:
    edges = [[edge] for edge in EDGES]
    file, age, gender, *edge = table.named(["img_name"], ["age"], ["gender"], *edges)
    counts: dict[str, int] = {}

    def entry(row: Row) -> Entry | None:
        name = faults.tried(row.text, file)
        if name is None:
            return None
        counts[name] = counts.get(name, 0) + 1
        if row.cells[age] in boxes.UNKNOWN:
            left.setdefault("there is no age", []).append(row.source)
            return None
        years, box = faults.tried(row.number, age), faults.tried(boxes.box, row, edge)
        sex = faults.tried(boxes.sex, row, gender)
        if years is None or box is None or sex is None:
            return None
        path = listed(root, name)
        reason = "" if box else "there is no face's box"
        if name == ABSENT and not path.exists():
            reason = "the release lacks the picture"
        if reason:
            left.setdefault(reason, []).append(row.source)
            return None
        return Entry(
            id=f"{name}#{counts[name]}",
            path=path,
            label=years,
            source=row.source,
            subject=name,
            groups=(("sex", sex),),
            box=box,
        )

    return of_rows(table.rows, entry, faults)


DATASET = Dataset(
    read=read,
    title="LAGENDA",
    paper="Kuprashevich and Tolstykh, MiVOLO: Multi-input Transformer for Age and Gender "
    "Estimation, 2023",
    licence="as its authors' page says; Open Images lists its pictures as CC BY 2.0",
    where="https://wildchlamydia.github.io/lagenda/",
    layout="'lagenda_annotation.csv' with columns img_name, age, gender, face_x0, face_y0, "
    "face_x1, face_y1, and the pictures at img_name, as 'lag_benchmark/HEX.jpg'",
)
