"""Benchmarks: what a config compares, read and checked before the first run."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

from ldl_jax import methods
from ldl_jax.data.splits.protocols import FOLDED
from ldl_jax.files import from_home
from ldl_jax.metrics import table
from ldl_jax.run import config as schema
from ldl_jax.run import sweep
from ldl_jax.run.benchmark_part import BenchmarkPart, named, unknown
from ldl_jax.run.config import Config, ConfigError, DataConfig
from ldl_jax.run.data import Read
from ldl_jax.run.reading import Content, read_section
from ldl_jax.run.resolved import fold_count, resolve

ALL = "all"  # of a part's methods: every one of `methods.METHODS`
PEERS = "peers"  # the part of the models of other projects
BALANCED = "balanced_mae"  # of `evaluation.analysis`; the other metrics are of `metrics.table`
# The keys of a config's data that all parts of a benchmark share.
SHARED = (
    *("name", "root", "csv", "columns", "options", "space", "protocol", "fold", "leaks", "audit"),
    *("test_fraction", "seed", "unreadable", "synthetic_count"),
)


@dataclasses.dataclass(frozen=True)
class PeersConfig:
    """The age models of other projects that are asked for the same pictures.

    Attributes:
      root: the folder of their files.
      files: the file of each, by the name in the table.
      pictures: how many training pictures the crop and the order of colours are chosen on.
    """

    root: str = ""
    files: dict[str, Any] = dataclasses.field(default_factory=dict)
    pictures: int = 512


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """All that is compared on one dataset.

    Attributes:
      title: of the page.
      metrics: the columns: keys of `metrics.table`, and "balanced_mae".
      select: the metric of the validation part that hyper-parameters are chosen by.
      validation_fraction: of the training pictures, held out while they are chosen; the runs of the
        table train on all.
      parts: in the order of the page.
      peers: models of other projects.
    """

    title: str
    metrics: tuple[str, ...]
    select: str
    validation_fraction: float
    parts: tuple[BenchmarkPart, ...]
    peers: PeersConfig

    @property
    def data(self) -> DataConfig:
        """The data that the peers are tested on."""
        return self.parts[0].run.data


def defaults() -> ml_collections.ConfigDict:
    """Returns the schema of a benchmark at its defaults, for a config file to fill in.

    `weights` is the file of the network that parts with `pretrained` start from, `features_cache`
    the folder of its features; `data` has the keys that all parts share; `order` names the parts in
    the page's order, for a ConfigDict sorts its keys.
    """
    data = schema.defaults()["data"]
    return ml_collections.ConfigDict(
        {
            "title": "",
            "metrics": (),
            "select": "mae",
            "validation_fraction": 0.2,
            "weights": "",
            "features_cache": "",
            "data": {key: data.get_ref(key) for key in SHARED},
            "parts": {},
            "order": (),
            "peers": {"root": "", "files": placeholder(object), "pictures": 512},
        }
    )


def part(run: ml_collections.ConfigDict, title: str, seeds: int) -> ml_collections.ConfigDict:
    """Returns a part of a benchmark, for a config file to fill in: rows that share this run."""
    return ml_collections.ConfigDict(
        {
            "title": title,
            "run": run,
            "methods": (ALL,),
            "rows": placeholder(object),
            "grids": placeholder(object),
            "reference": "dldl_v2",
            "seeds": seeds,
            "pretrained": False,
            "generations": False,
        }
    )


def parse(
    config: ml_collections.ConfigDict, only: Sequence[str] = (), *, training: bool = True
) -> Benchmark:
    """Returns the typed benchmark of a config, with those parts that `only` names, or all.

    "frozen" is a part, "frozen:crps" one row of it, "peers:dlib" one peer. Where nothing is to be
    trained, the file of trained weights is not needed.

    Raises:
      ConfigError: all that is wrong with it, before anything is read.
    """
    content = config.to_dict()
    order = [*content["order"], *sorted(content["parts"].keys() - {*content["order"]})]
    names = [*order, PEERS]
    some = _some(only, names)
    shared = {key: x for key, x in content["data"].items() if x is not None}
    parts: list[BenchmarkPart] = []
    faults: list[str] = []
    for name in order:
        if name not in content["parts"]:
            faults.append(f"order: there is no part {name!r}")
            continue
        section = content["parts"][name]
        if some and name not in some:
            continue
        try:
            parts.append(_part(name, section, shared, content, training, some.get(name, [])))
        except ConfigError as error:
            faults.append(str(error))
    if content["select"] not in [entry.key for entry in table.TABLE if entry.better]:
        faults.append(
            f"select: expected a metric that is to be more or less, {content['select']!r}"
        )
    unknown = [key for key in content["metrics"] if key != BALANCED and table.find(key) is None]
    known = ", ".join([BALANCED, *(entry.key for entry in table.TABLE)])
    faults += [f"metrics: there is no {key!r}; there are {known}" for key in unknown]
    if not 0 < content["validation_fraction"] < 1:
        faults.append("validation_fraction: expected more than 0 and less than 1")
    if not content["parts"]:
        faults.append("parts: expected one or more")
    if faults:
        raise ConfigError("; ".join(faults))
    peers = read_section(PeersConfig, content["peers"], "peers.")
    peers = dataclasses.replace(peers, root=from_home(peers.root))
    if some:
        files = _those(PEERS, peers.files, some[PEERS]) if PEERS in some else []
        peers = dataclasses.replace(peers, files={name: peers.files[name] for name in files})
    return Benchmark(
        content["title"],
        tuple(content["metrics"]),
        content["select"],
        content["validation_fraction"],
        tuple(parts),
        peers,
    )


def check(benchmark: Benchmark, read: Read) -> None:
    """Checks every row's run, and that it will have the metrics, before the first one.

    Raises:
      ConfigError, DataError: all that is wrong; the dataset cannot be read.
    """
    faults: dict[str, None] = {}
    last = None
    for section in benchmark.parts:
        for row in section.trained:
            try:
                config = section.config(row)
                points = sweep.points(
                    dataclasses.replace(config, sweep=(config.sweep[0] or {"seed": 0},))
                )
                last = resolve(points[0].config, read=read, like=last)
            except ConfigError as error:
                faults[f"parts.{section.name}: {row}: {error}"] = None
                continue
            had = (*last.metrics_of(last.parts.test), BALANCED)
            for key in (*benchmark.metrics, benchmark.select):
                if key not in had:
                    text = f"{key!r} is no metric of {config.method.name} on this data"
                    faults[f"metrics: {text}; there are {', '.join(had)}"] = None
    if faults:
        raise ConfigError("; ".join(faults))


def folds(config: Config, read: Read) -> tuple[int, ...]:
    """Returns the folds that a row is tested on; one of any number where there are none."""
    if config.data.protocol not in FOLDED:
        return (config.data.fold,)
    if config.data.fold >= 0:
        return (config.data.fold,)
    return tuple(range(fold_count(config, read)))


def _some(only: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Returns the parts that `only` names, with the rows that it names of each, none for all."""
    some: dict[str, list[str]] = {}
    for text in only:
        name, _, row = text.partition(":")
        if name not in names:
            raise ConfigError(f"--only: expected some of {', '.join(names)}, got {name!r}")
        some.setdefault(name, []).append(row)
    return {name: [] if "" in rows else rows for name, rows in some.items()}


def _those(name: str, there: Iterable[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Returns the rows of a part that are wanted, all where none is named."""
    there = tuple(there)
    if unknown := [row for row in wanted if row not in there]:
        rows = ", ".join(there) or "none"
        shown = ", ".join(map(repr, unknown))
        raise ConfigError(f"--only: {name} has no row {shown}; there are {rows}")
    return tuple(row for row in there if row in wanted) or there


def _part(
    name: str,
    section: Content,
    shared: Content,
    content: Content,
    training: bool,
    wanted: Sequence[str],
) -> BenchmarkPart:
    """Returns a part of the table; raises ConfigError with all its faults."""
    key = f"parts.{name}"
    run = section["run"]
    run["data"] = run["data"] | shared
    if section["pretrained"]:
        if training and not content["weights"]:
            raise ConfigError(
                f"weights: {key} starts from a trained network; give its file with "
                "--config.weights=FILE, or other parts with --only"
            )
        run["init"]["path"] = content["weights"] or "none"
        if run["init"].get("features") and content["features_cache"]:
            run["init"]["features_cache"] = content["features_cache"]
    try:
        config = schema.from_dict(run)
    except ConfigError as error:
        raise ConfigError(f"{key}.run.{error}") from None
    if len(config.sweep) > 1:
        raise ConfigError(f"{key}.run.sweep: expected one grid, got {len(config.sweep)}")
    rows = section["rows"]
    if rows is None:
        listed = [*methods.METHODS] if tuple(section["methods"]) == (ALL,) else section["methods"]
        rows = {method: {} for method in listed}
    grids = section["grids"] or {}
    faults = [
        f"{key}.methods: {unknown(row)}" for row, values in rows.items() if not named(row, values)
    ]
    if not rows:
        faults.append(f"{key}.methods: expected one or more")
    faults += [f"{key}.grids: there is no row {row!r}" for row in grids if row not in rows]
    if rows and section["reference"] not in rows:
        faults.append(
            f"{key}.reference: expected one of {', '.join(rows)}, got {section['reference']!r}"
        )
    if section["seeds"] < 1:
        faults.append(f"{key}.seeds: expected 1 or more, got {section['seeds']}")
    if faults:
        raise ConfigError("; ".join(faults))
    return BenchmarkPart(
        name, section["title"] or name, config, rows, grids, section["reference"], section["seeds"],
        section["generations"], _those(name, rows, wanted),
    )  # fmt: skip
