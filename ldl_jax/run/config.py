"""The schema of a config, and its ways from and to a file.

A config file fills in a `ConfigDict` made by `defaults()`; `parse` turns it into a frozen, typed
`Config`. A key that is not in the schema, or a value of another type, is an error.
"""

import copy
import dataclasses
import json
import re
from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

from ldl_jax import methods, models
from ldl_jax.data.augment.augmentation import Recipe
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.synthetic import faces
from ldl_jax.run.init_section import InitConfig
from ldl_jax.run.log_section import LogConfig
from ldl_jax.run.open_sections import method_of, model_of, unset
from ldl_jax.run.reading import RENAMED as RENAMED
from ldl_jax.run.reading import (
    Content,
    check_sections,
    filled,
    in_new_keys,
    options_of,
    read_section,
)
from ldl_jax.run.search_section import SearchConfig
from ldl_jax.run.sections import (
    ConfigError,
    DataConfig,
    MeshConfig,
    MethodConfig,
    ModelConfig,
    at_least,
    one_of,
    positive,
)
from ldl_jax.run.sections import TestSetConfig as TestSetConfig
from ldl_jax.run.table_section import TableConfig
from ldl_jax.train.faults import FaultConfig
from ldl_jax.train.job import PRECISIONS, USES, Chain, EvaluationConfig
from ldl_jax.train.optimizers import OptimizerConfig

_NOT_THE_RUN = ("stages", "sweep", "replicas", "table", "search")  # which are not kept with it


@dataclasses.dataclass(frozen=True)
class Config:
    """A run, or with `sweep` many.

    Attributes:
      seed: of weights, order and augmentation: the same seed gives the same run.
      batch_size: training pictures a step, over all devices.
      epochs: of each generation.
      log_every: steps between rows of metrics.jsonl.
      checkpoint_every: epochs between checkpoints.
      keep: the last so many checkpoints of a generation stay.
      best: a metric of the validation part, as "mae" or "pearson" (a key of a validation's row in
        metrics.jsonl): each generation's best weights by it are kept, too; "" for none.
      use: the weights that are tested, teach and predict: a generation's "last", or its "best".
      accumulate: the parts of a batch that a step goes through one after the other, in the memory
        of one; the gradient is the whole batch's, batch statistics are the parts'.
      steps_per_call: steps that the devices take for one call of the host; 0 for 1 on CPUs and for
        streamed pictures, else 16. Checkpoints and evaluations cut a call at their step.
      precision: of products and convolutions of float32 on GPUs: "tf32", as JAX does by default,
        may round what they multiply to 10 bits of mantissa; "float32" keeps all 23, and is slower.
        CPUs compute in float32 with both, and networks in bfloat16 are not changed.
      stages: whole configs, by name, of runs that come before this one: those that `init.path` =
        "stage:NAME" names, here or in another of them.
      sweep: many runs that differ in these keys, as {"method.lam": (0.1, 1.0), "seed": (0, 1)}: a
        grid, each value with each; or a tuple of such grids. See `ldl_jax.run.sweep`.
      replicas: how the runs of a sweep that differ in seed, fold or numbers alone are trained:
        "together" in one program, "one_by_one", or "auto", by what is faster.
      table: of a sweep's results.
    """

    seed: int = 0
    batch_size: int = 128
    epochs: int = 160
    log_every: int = 10
    checkpoint_every: float = 1.0
    keep: int = 2
    best: str = ""
    use: str = "last"
    accumulate: int = 1
    steps_per_call: int = 0
    precision: str = "tf32"
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    augment: Recipe = dataclasses.field(default_factory=Recipe)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    method: MethodConfig = dataclasses.field(default_factory=MethodConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    init: InitConfig = dataclasses.field(default_factory=InitConfig)
    chain: Chain = dataclasses.field(default_factory=Chain)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    stages: dict[str, "Config"] = dataclasses.field(default_factory=dict)
    faults: FaultConfig = dataclasses.field(default_factory=FaultConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    log: LogConfig = dataclasses.field(default_factory=LogConfig)

    sweep: tuple[dict[str, Any], ...] = ()
    replicas: str = "auto"
    table: TableConfig = dataclasses.field(default_factory=TableConfig)
    search: SearchConfig = dataclasses.field(default_factory=SearchConfig)

    def __post_init__(self) -> None:
        one_of("replicas", self.replicas, ("auto", "together", "one_by_one"))
        for name in ("batch_size", "epochs", "log_every", "keep", "accumulate"):
            at_least(name, getattr(self, name), 1)
        at_least("steps_per_call", self.steps_per_call, 0)
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"accumulate: {self.accumulate} equal parts do not make up batch_size = "
                f"{self.batch_size}"
            )
        one_of("use", self.use, USES)
        one_of("precision", self.precision, PRECISIONS)
        if self.use == "best" and not self.best:
            raise ConfigError("use: 'best' needs a validation metric; give best, as best='mae'")
        at_least("seed", self.seed, 0)
        positive("checkpoint_every", self.checkpoint_every)
        if self.model.standardise and not self.init.features:
            raise ConfigError(
                "model.standardise: is of features that stay as they are; give init.features=true"
            )
        if self.init.features_views and len(set(self.augment.gridmask.probability)) > 1:
            raise ConfigError(
                "init.features_views: views are drawn once, and augment.gridmask.probability "
                "changes over training; give it one value"
            )
        frozen = "freeze" if self.init.freeze else "frozen_blocks"
        kept = self.init.freeze or self.init.frozen_blocks
        if kept and self.chain.student == "fresh" and self.chain.generations > 1:
            raise ConfigError(
                f"init.{frozen}: chain.student='fresh' gives later generations random networks; "
                "take 'pretrained' or 'teacher'"
            )


def defaults() -> ml_collections.ConfigDict:
    """Returns a `ConfigDict` of the whole schema at its defaults, for a config file to change.

    `config.method` has the hyper-parameters of all built-in methods, `config.model` the options of
    all networks, `config.data.options` those of all datasets, unset.
    """
    config = to_dict(Config())
    renamed = (dict.fromkeys(names, 0.0) for names in methods.RENAMED.values())  # to refuse them
    config["method"] |= unset([*renamed, *map(methods.hyper_parameters, methods.METHODS)])
    config["model"] = unset(map(models.known_options, models.MODELS)) | config["model"]
    # A tuple is the head's, a whole number VGG16's own.
    config["model"]["hidden"] = ml_collections.FieldReference((), field_type=object)
    # An own network's option may have another type than the built-in one of that name.
    config["model"] = ml_collections.ConfigDict(config["model"], type_safe=False)
    config |= {"sweep": placeholder(object), "replicas": "auto", "table": to_dict(TableConfig())}
    config["search"] = to_dict(SearchConfig()) | {"ranges": placeholder(object)}
    readers = [faces.OPTIONS, *(source.options for source in catalogue.DATASETS.values())]
    config["data"]["columns"] = config["data"]["test"]["columns"] = placeholder(object)
    config["data"]["options"] = unset(readers)
    config["data"]["test"]["options"] = unset(readers)
    config["stages"] = {}
    return ml_collections.ConfigDict(config)


def parse(config: ml_collections.ConfigDict) -> Config:
    """Returns the typed config of a `ConfigDict`.

    Raises:
      ConfigError: an unknown or missing key, a value of the wrong type or out of range.
    """
    return from_dict(config.to_dict())


def from_dict(content: Content) -> Config:
    """Returns the typed config of nested dicts, by the keys of a config's file.

    Raises:
      ConfigError: an unknown or missing key, a value of the wrong type or out of range.
    """
    content = copy.deepcopy(content)
    stages = _stages(content.pop("stages", {}))
    sweep = _sweep(content.pop("sweep", None))
    method = content.pop("method", {"name": "cen"})
    model = content.pop("model", {})
    data = content.get("data")
    test_options = options_of(data.get("test"), "data.test") if isinstance(data, dict) else {}
    sections = ("data", "augment", "optimizer")
    options, changes, optimizer_options = (options_of(content.get(key), key) for key in sections)
    try:
        result = read_section(Config, content, "")
        test = dataclasses.replace(result.data.test, options=test_options)
        return dataclasses.replace(
            result,
            data=dataclasses.replace(result.data, options=options, test=test),
            augment=dataclasses.replace(result.augment, options=changes),
            optimizer=dataclasses.replace(result.optimizer, options=optimizer_options),
            method=method_of(method),
            model=model_of(model),
            stages=stages,
            sweep=sweep,
        )
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from None


def to_dict(config: Any) -> Content:
    """Returns a config as nested dicts of JSON's types, by the keys of its file."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, MethodConfig):
            value = {"name": value.name, **value.hyper_parameters}
        elif isinstance(value, ModelConfig):
            keys = {key: x for key, x in vars(value).items() if key != "options"}
            value = {**keys, **value.options}
        elif dataclasses.is_dataclass(value):
            value = to_dict(value)
        elif isinstance(value, dict):  # open sections, in which a sweep sets its values
            value = copy.deepcopy(value)
        if field.name not in _NOT_THE_RUN:
            result[field.name] = value
    return result


def completed(saved: Content) -> Content:
    """Returns a run's saved config as it would be saved today.

    Its keys have today's names, and those that it lacks, as they came later, their defaults.

    Raises:
      ConfigError: a section of it is none.
    """
    check_sections(saved, to_dict(Config()) | {"resolved": {}})
    content = in_new_keys(saved)
    method = content.get("method", {})
    name = method.get("name", "")
    renamed = methods.RENAMED.get(name, {})
    if renamed and renamed.keys() <= method.keys():
        content = content | {"method": {renamed.get(k, k): value for k, value in method.items()}}
    known = {"method": methods.hyper_parameters(name)} if name in methods.METHODS else {}
    return filled(content, json.loads(json.dumps(to_dict(Config()) | known)))


def _stages(content: object) -> dict[str, Config]:
    if not isinstance(content, dict):
        raise ConfigError(f"stages: expected whole configs by name, got {content!r}")
    stages = {}
    for name, stage in content.items():
        if not re.fullmatch(r"\w[\w.+-]*", str(name)):  # it is the name of a folder
            raise ConfigError(
                f"stages: expected names of letters, digits and _.+- as keys, got {name!r}"
            )
        if not isinstance(stage, dict):
            raise ConfigError(f"stages.{name}: expected a whole config, got {stage!r}")
        if stage.get("stages"):
            raise ConfigError(f"stages.{name}.stages: a stage has none of its own")
        try:
            stages[name] = from_dict(stage)
        except ConfigError as error:
            raise ConfigError(f"stages.{name}.{error}") from None
    return stages


def _sweep(content: object) -> tuple[Content, ...]:
    grids = () if content is None else (content,) if isinstance(content, dict) else content
    if not isinstance(grids, (tuple, list)) or not all(isinstance(grid, dict) for grid in grids):
        raise ConfigError(
            "sweep: expected values by dotted key, as {'method.lam': (0.1, 1.0)}, or several such, "
            f"got {content!r}"
        )
    if wrong := [key for grid in grids for key in grid if not isinstance(key, str)]:
        raise ConfigError(f"sweep: expected dotted keys, as 'method.lam', got {wrong[0]!r}")
    return tuple(grids)
