"""The places that a command's answers go to: checked before anything is read, and written."""

import collections
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ldl_jax.evaluation.cells import plain_lines
from ldl_jax.files import write
from ldl_jax.video.writing import FORMATS


def check(name: str, value: str, *, folder: bool) -> None:
    """Checks that a file, or a folder of files, can be written.

    Args:
      name: the flag's.
      value: a path; - for standard output, where a file is expected.
      folder: whether a folder is expected.

    Raises:
      ValueError: it cannot.
    """
    if not value:
        raise ValueError(f"--{name}: expected a path, got an empty one")
    path = Path(value)
    if folder and (value == "-" or path.is_file()):
        raise ValueError(f"--{name}: expected a folder, {value} is not one")
    if not folder and path.is_dir():
        raise ValueError(f"--{name}: expected a file, {value} is a folder")
    for parent in path.absolute().parents:
        if parent.is_file():
            raise ValueError(f"--{name}: {value} cannot be made, {parent} is a file")


def drawings(
    walked: Sequence[tuple[Path, Path]], folders: Mapping[str, str | None]
) -> dict[str, dict[Path, Path]]:
    """Returns, by the flag of each folder of drawings, the file to write for each picture.

    Args:
      walked: each picture's path, and its path relative to the folder that was named.
      folders: by the flag's name, or None where it is not given.

    Raises:
      ValueError: two pictures would share a file, or one would replace a picture or lie elsewhere.
    """
    inputs = {path.resolve() for path, _ in walked}
    stems = [relative.with_suffix("") for _, relative in walked]
    counts = collections.Counter(stems)
    outputs: dict[str, dict[Path, Path]] = {}
    for flag, folder in folders.items():
        if folder is None:
            continue
        files: dict[Path, Path] = {}
        chosen: set[Path] = set()
        for (path, relative), stem in zip(walked, stems, strict=True):
            # Pictures a.jpg and a.png in one folder keep their whole names.
            name = f"{stem}.png" if counts[stem] == 1 else f"{relative}.png"
            file = Path(folder) / name
            if not file.parent.resolve().is_relative_to(Path(folder).resolve()):
                raise ValueError(f"--{flag}: {file} leads out of that folder, by a link in it")
            if file in chosen:
                raise ValueError(
                    f"--{flag}: {path} and another picture would both be {file}; "
                    "give their folders in two calls"
                )
            if file.resolve() in inputs:
                raise ValueError(f"--{flag}: {file} is one of the pictures; give a new folder")
            chosen.add(file)
            files[path] = file
        outputs[flag] = files
    return outputs


def put(text: str, place: str) -> None:
    """Writes a text to a file, or for - to standard output: a terminal obeys nothing in it."""
    if place == "-":
        shown = plain_lines(text) if sys.stdout.isatty() else text
        sys.stdout.buffer.write(shown.encode("utf-8", "surrogateescape"))  # as a file's
        return
    write(place, text)


def film_copy(annotate: str) -> Path:
    """Returns the annotated film's path, checked.

    Raises:
      ValueError: it is none.
    """
    path = Path(annotate)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(
            f"--annotate: expected a film's name, ending in {', '.join(FORMATS)}, got {annotate!r}"
        )
    check("annotate", annotate, folder=False)
    return path


def film_copies(films: Sequence[Path], annotate: str | None) -> dict[Path, Path | None]:
    """Returns the annotated copy of each film, None where none is asked for.

    Args:
      films: their paths.
      annotate: the copy of one film, or the folder of several films' copies.

    Raises:
      ValueError: it is neither, or two films would share a file or one would replace a film.
    """
    if annotate is None or not films:
        return dict.fromkeys(films)
    is_name = Path(annotate).suffix.lower() in FORMATS and not Path(annotate).is_dir()
    if len(films) == 1 and (is_name or Path(annotate).suffix):
        copies: dict[Path, Path | None] = {films[0]: film_copy(annotate)}
    elif is_name:
        raise ValueError(f"--annotate: expected a folder for {len(films)} films, got {annotate!r}")
    else:
        check("annotate", annotate, folder=True)
        copies = {path: Path(annotate) / f"{path.stem}.mp4" for path in films}
    inputs = {path.resolve() for path in films}
    chosen: set[Path] = set()
    for path, copy in copies.items():
        assert copy is not None
        if copy.resolve() in inputs:
            raise ValueError(f"--annotate: {copy} is one of the films; give another name")
        if copy in chosen:
            raise ValueError(
                f"--annotate: {path} and another film would both be {copy}; give them in two calls"
            )
        chosen.add(copy)
    return copies
