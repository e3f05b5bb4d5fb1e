"""The job of a chain: everything that training needs, in sections named as the config's."""

import dataclasses

import optax

from ldl_jax.data.augment.augmentation import Preprocessing, Recipe
from ldl_jax.data.augment.looks import check_crops
from ldl_jax.data.augment.views import Views
from ldl_jax.data.feed.feeds import EpochOrder, Feed
from ldl_jax.methods import Method
from ldl_jax.models.functional import Model
from ldl_jax.placement import Placement
from ldl_jax.train.ensemble import Ensemble
from ldl_jax.train.faults import FaultConfig
from ldl_jax.train.record import Record
from ldl_jax.train.state import PyTree
from ldl_jax.train.trace import Trace

STUDENTS = ("pretrained", "teacher", "fresh")
USES = ("last", "best")
PRECISIONS = ("tf32", "float32")


@dataclasses.dataclass(frozen=True)
class Chain:
    """The number of generations, and the weights that a later one starts from.

    Attributes:
      generations: at most so many.
      student: "pretrained" starts every generation as the first one (from init.path's weights,
        the paper's way, or fresh where there are none); "teacher" from its teacher's weights;
        "fresh" from random ones.
      early_end: stop before the generation that follows one without a better validation MAE.
    """

    generations: int = 4
    student: str = "pretrained"
    early_end: bool = False

    def __post_init__(self) -> None:
        if self.generations < 1:
            raise ValueError(f"chain.generations: expected 1 or more, got {self.generations}")
        if self.student not in STUDENTS:
            raise ValueError(
                f"chain.student: expected one of {', '.join(STUDENTS)}, got {self.student!r}"
            )


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """The evaluation of a generation.

    Attributes:
      batch_size: pictures at a time.
      flip: average over a picture and its mirror image.
      crops: average over these shares of a picture's width and height, about its middle, as
        (1.0, 0.8); () takes the picture alone.
      every: epochs between evaluations of the validation part.
      distributions: keep each test picture's distribution; without, no metric of them is known. A
        classifier of 54,000 people has no room for them.
    """

    batch_size: int = 256
    flip: bool = True
    crops: tuple[float, ...] = ()
    every: float = 1.0
    distributions: bool = True

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"evaluation.batch_size: expected 1 or more, got {self.batch_size}")
        if not self.every > 0:
            raise ValueError(f"evaluation.every: expected more than 0, got {self.every}")
        check_crops("evaluation.crops", self.crops)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The steps between things that happen in a generation, and the most steps of one call."""

    log_every: int
    checkpoint_every: int
    evaluation_every: int
    steps_per_call: int = 1


@dataclasses.dataclass(frozen=True)
class Feeds:
    """A feed for each part, and the way from what it stores to the network's input."""

    train: Feed
    validation: Feed | None
    test: Feed
    preprocessing: Preprocessing | Views


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The student's optimizer, and the decay of its weights' moving average; 0 for none.

    `by_name` says that it treats the top-level names of the backbone in different ways, `by_array`
    that an update may depend on a whole array (its norm, its rows), as one's own may.
    """

    transform: optax.GradientTransformation
    learning_rate: optax.Schedule
    ema: float = 0.0
    by_name: bool = False
    by_array: bool = False


@dataclasses.dataclass(frozen=True)
class Init:
    """The pre-trained network's params and state and the head's, or None for fresh ones.

    `still` are the names of the network's parameters that stay as they are, where it is not frozen
    as a whole. `ensemble` teaches the first generation.
    """

    backbone: tuple[PyTree, PyTree] | None = None
    head: PyTree | None = None
    freeze: bool = False
    still: tuple[str, ...] = ()
    ensemble: Ensemble | None = None


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that a chain needs, as objects; `ldl_jax.run.experiment` makes it of a config.

    A field has the name of the config's key or section that it is made of. `placement` and
    `exchange` are made of `mesh`, `schedule` of the keys named in it. `about` goes into every
    checkpoint, and tells what the weights are; `trace` takes a profile of a few steps. Without
    `tested` the test part is not looked at, and a generation's results are those of the validation
    part alone.
    """

    seed: int
    batch_size: int
    epochs: int
    data: Feeds
    augment: Recipe
    model: Model
    method: Method
    optimizer: Optimizer
    init: Init
    chain: Chain
    evaluation: EvaluationConfig
    schedule: Schedule
    placement: Placement
    about: Record
    faults: FaultConfig = dataclasses.field(default_factory=FaultConfig)
    accumulate: int = 1
    keep: int = 2
    best: str = ""
    use: str = "last"
    precision: str = "tf32"
    exchange: str = "network"
    trace: Trace | None = None
    tested: bool = True

    def order(self, generation: int) -> EpochOrder:
        """The training pictures' order in a generation."""
        count = len(self.data.train.part)
        return EpochOrder(count, self.batch_size, self.epochs, self.seed, generation)
