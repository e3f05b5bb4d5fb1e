"""Keeps features in a folder, by network, preprocessing and picture; runs may share it.

A folder of features has one folder for each network with its preprocessing, named by their hash. In
it lie files that each hold some views of some pictures, named by their own SHA-256. So a file is
whole and as it was written, or it is told to be damaged; a run that is killed loses the file it was
at; and runs that write at the same time do not meet. `about.json` says whose features they are.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ldl_jax.files import is_partial, write, write_json
from ldl_jax.models import array_files
from ldl_jax.workdir import differences

LogLine = Callable[[str], None]
FORMAT = 1  # of the files; another one is another hash
_ABOUT, _SUFFIX = "about.json", ".safetensors"


class Cache:
    """The features of one network with its preprocessing, in a folder below `path`.

    Attributes:
      folder: where they are; None keeps nothing.
    """

    def __init__(
        self, path: Path | None, about: Mapping[str, object], width: int, log: LogLine
    ) -> None:
        """Takes the folder for these features, and names others that it has.

        Args:
          path: the folder of features of all networks; None keeps nothing.
          about: what the features depend on but for the picture, of JSON's types: the network by
            its "name", its weights and its preprocessing.
          width: D, the number of features.
          log: takes lines for the user.

        Raises:
          ValueError: the folder cannot be written to.
        """
        self._about = _stated(about)
        self._width, self._log = width, log
        self.folder: Path | None = None
        if path is not None:
            self.folder = path / _folder_name(self._about)
            if not (self.folder / _ABOUT).exists():
                self._name_others(path)
                with self._writing():
                    write_json(self.folder / _ABOUT, self._about)

    @classmethod
    def existing(
        cls, path: Path, about: Mapping[str, object], width: int, log: LogLine
    ) -> "Cache | None":
        """Returns the features in a folder, as of the constructor, or None where it has none."""
        folder = path / _folder_name(_stated(about))
        return cls(path, about, width, log) if (folder / _ABOUT).is_file() else None

    def read(self, digests: Sequence[bytes], views: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Reads what is kept of some pictures.

        Args:
          digests: N SHA-256 digests, 32 bytes each, of the pictures.
          views: W names.

        Returns:
          Features float32 [N, W, D], and bool [N, W], which of them are known; others are 0.
        """
        features = np.zeros((len(digests), len(views), self._width), np.float32)
        known = np.zeros((len(digests), len(views)), bool)
        rows: dict[bytes, list[int]] = {}
        for row, digest in enumerate(digests):  # two files may hold the same picture
            rows.setdefault(digest, []).append(row)
        for path in self._files():
            if known.all():
                break
            content = self._content(path)
            if content is None:
                continue
            names, stored_digests, stored = content
            pairs = [
                (row, index)
                for index, digest in enumerate(stored_digests)
                for row in rows.get(digest, ())
            ]
            if pairs:
                targets, sources = np.asarray(pairs).T
                for column, view in enumerate(views):
                    if view in names:
                        features[targets, column] = stored[sources, names.index(view)]
                        known[targets, column] = True
        return features, known

    def add(self, digests: Sequence[bytes], views: Sequence[str], features: np.ndarray) -> None:
        """Keeps features float32 [n, W, D] of n pictures, in a file of their own.

        Raises:
          ValueError: the folder cannot be written to.
        """
        if self.folder is None:
            return
        arrays = {
            "digests": np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
            "views": np.frombuffer(json.dumps(list(views)).encode(), np.uint8),
            "features": features,
        }
        content = array_files.dumps(arrays)
        with self._writing():
            write(self.folder / f"{hashlib.sha256(content).hexdigest()}{_SUFFIX}", content)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ValueError(
                f"init.features_cache: features cannot be kept in {self.folder} "
                f"({error.strerror or error}); make room there, or give another folder"
            ) from error

    def _files(self) -> list[Path]:
        return [] if self.folder is None else sorted(self.folder.glob(f"*{_SUFFIX}"))

    def _content(self, path: Path) -> tuple[list[str], list[bytes], np.ndarray] | None:
        """Returns a file's views, digests and features; names and removes one that is damaged."""
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != path.name.removesuffix(_SUFFIX):
                raise ValueError("its content is not what was written")
            arrays = array_files.loads(content)
            views = json.loads(arrays["views"].tobytes())
            digests, features = arrays["digests"], arrays["features"]
            if features.shape != (len(digests), len(views), self._width):
                raise ValueError(f"it holds {list(features.shape)} features")
        except (OSError, ValueError, KeyError) as error:
            self._log(f"features: {path} is damaged ({error}); they are computed again")
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        return views, [digest.tobytes() for digest in digests], features

    def _name_others(self, path: Path) -> None:
        """Says of the features of others in the folder how they differ from these."""
        for other in sorted(path.glob(f"*/{_ABOUT}")):
            if is_partial(other.parent):
                continue
            try:
                changes = differences(json.loads(other.read_text()), self._about)
            except (OSError, ValueError, AttributeError, TypeError):
                changes = ["what of is not known"]
            shown = "; ".join(changes[:4]) + (" and more" if changes[4:] else "")
            self._log(f"features: those in {other.parent} are others, not taken: {shown}")


def _stated(about: Mapping[str, object]) -> dict[str, object]:
    """Returns what features depend on, with the version of their files."""
    content: dict[str, object] = json.loads(json.dumps({"format": FORMAT, **about}))
    return content


def _folder_name(stated: Mapping[str, object]) -> str:
    text = json.dumps(stated, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{stated['name']}-{key}"
