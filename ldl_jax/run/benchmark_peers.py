"""Asks a benchmark's peers for its pictures, each once: their answers are kept."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ldl_jax import workdir
from ldl_jax.data.records import Records
from ldl_jax.data.splits.protocols import Parts
from ldl_jax.evaluation import predictions
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.files import write_json
from ldl_jax.predict import peers
from ldl_jax.run.benchmark import PeersConfig
from ldl_jax.run.config import ConfigError
from ldl_jax.run.named import file_names

LogLine = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class PeerAnswers:
    """A peer's answers for the test pictures, and the form of pictures that was chosen for it."""

    predictions: Predictions
    crop: float
    channels: str
    shift: float


def check(config: PeersConfig, unit: str) -> None:
    """Checks that the peers' files are there; raises ConfigError with all that is wrong."""
    if not config.files:
        return
    faults = []
    if unit != "years":
        faults.append(f"peers.files: these models know ages alone, and the labels are in {unit}")
    missing = [name for name, file in config.files.items() if not _path(config, file).is_file()]
    if missing and not config.root:
        faults.append("peers.root: give the folder of their files, or other parts with --only")
    elif missing:
        files = ", ".join(str(config.files[name]) for name in missing)
        faults.append(f"peers.root: {config.root} has no {files}")
    if config.pictures < 1:
        faults.append(f"peers.pictures: expected 1 or more, got {config.pictures}")
    if faults:
        raise ConfigError("; ".join(faults))


def kept(config: PeersConfig, path: Path) -> dict[str, PeerAnswers]:
    """Returns the answers that a benchmark's folder has, by the peer's name."""
    answers = {}
    for name, stem in zip(config.files, file_names([*config.files]), strict=True):
        form = path / f"{stem}.json"
        if form.exists():
            content = workdir.read_json(form)
            answer = predictions.read(path / f"{stem}.csv")
            answers[name] = PeerAnswers(
                answer, content["crop"], content["channels"], content["shift"]
            )
    return answers


def ask(
    config: PeersConfig,
    name: str,
    path: Path,
    records: Records,
    parts: Parts,
    seed: int,
    log: LogLine,
) -> None:
    """Chooses a peer's crop and colours on training pictures, and keeps its answers for test's.

    Raises:
      ConfigError: its file cannot be used.
    """
    stem = dict(zip(config.files, file_names([*config.files]), strict=True))[name]
    try:
        peer = peers.opened(_path(config, config.files[name]))
    except ValueError as error:
        raise ConfigError(f"peers.files: {name}: {error}") from None
    rng = np.random.default_rng(seed)
    count = min(config.pictures, len(parts.train))
    some = np.sort(rng.choice(parts.train, count, replace=False))
    form, trained = peers.chosen_form(peer, records, some)
    rows = parts.test
    values, probs = peers.answers(peer, records, rows, form)
    ids = [records.ids[row] for row in rows]
    order = np.argsort(ids, kind="stable")
    path.mkdir(parents=True, exist_ok=True)
    answer = Predictions(
        ids=tuple(ids[row] for row in order),
        labels=records.labels[rows][order],
        values=values[order],
        probs=probs[order],
        space=peer.space,
        subjects=tuple(records.subjects[row] for row in rows[order]) if records.subjects else (),
    )
    predictions.write(path / f"{stem}.csv", answer)
    write_json(path / f"{stem}.json", dataclasses.asdict(form))  # last: it says that all is there
    mae = float(np.abs(answer.values - answer.labels).mean())
    log(
        f"peers: {name}: MAE {mae:.3f}; of {len(some)} training pictures {trained:.3f} with "
        f"crop {form.crop:g}, {form.channels.upper()}, moved down by {form.shift:.0%}"
    )


def _path(config: PeersConfig, file: Any) -> Path:
    return Path(config.root) / str(file)
