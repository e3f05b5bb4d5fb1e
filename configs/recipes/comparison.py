"""Parts that benchmarks share: heads on frozen features, networks from scratch, fine-tuning."""

import ml_collections

from configs.recipes import cen, frozen
from ldl_jax.run import benchmark

AGES = ("mae", "balanced_mae", "ca5", "nll", "crps", "coverage90")
SCORES = ("mae", "balanced_mae", "rmse", "pearson", "nll", "crps", "coverage90")
FROM_SCRATCH = ("dldl_v2", "cen", "dex", "mean_variance", "ranking", "ssr")
_CONTROLS = "configs.benchmarks.controls"
_ALONE = "the same steps without a teacher"
# Ways through CEN's generations; but for the paper's, each goes on from the last one's weights.
CEN_WAYS = {
    "the paper's way": {"method.name": "cen", "chain.student": "pretrained"},
    "from the teacher's weights": {"method.name": "cen"},
    _ALONE: {"method.name": f"{_CONTROLS}:without_teacher"},
    "α = 0": {"method.name": "cen", "method.alpha": 0.0},
    "slack off": {"method.name": f"{_CONTROLS}:without_slack"},
}


# Methods whose labels are Gaussians of a width to choose, in the label's unit.
_OF_WIDTH = ("dldl", "dldl_v2", "hl_gauss", "megaage")
WIDTHS = {"years": (2.0, 3.0), "score": (0.25, 0.5)}
SLOPES = {"years": (0.5, 1.0), "score": (2.0, 5.0)}  # of SORD, in 1 / unit


def on_features(data: str, seeds: int, unit: str = "years") -> ml_collections.ConfigDict:
    """Every method as a head on HSE-FaceRes, whose features are computed once.

    On All-Age-Faces' validation part two augmented views brought the CRPS loss' MAE from 5.125 to
    5.093 years, twice the hidden units with more dropout to 5.118, half the epochs to 5.209; with
    2,500 training pictures their middle square (`data.square`) brought it from 5.495 to 5.335.
    """
    run = frozen.head_on_features(data=data, network="faceres")
    run.init.features_views = 2
    run.checkpoint_every = float(run.epochs)
    run.sweep = {"optimizer.learning_rate": (1e-3, 3e-3)}
    run.log_every = 100
    part = benchmark.part(run, "Frozen HSE-FaceRes, one hidden layer", seeds)
    part.grids = _widths(_OF_WIDTH, unit) | {"sord": {"method.alpha": SLOPES[unit]}}
    part.pretrained = True
    return part


def over_crops(part: ml_collections.ConfigDict) -> None:
    """Makes a part on features answer with the mean over three crops, which it trains on as well.

    Over five folds of All-Age-Faces' training pictures that brought the CRPS loss' MAE from 4.90 to
    4.83 years, with five crops to 4.80; two augmented views beside the crops gave nothing more.
    """
    part.run.evaluation.crops = (1.0, 0.8, 0.65)
    part.run.init.features_views = 0
    part.run.model.hidden_dropout = 0.3


def of_layers(part: ml_collections.ConfigDict) -> None:
    """Makes a part on HSE-FaceRes' features read several of its layers, by 128 hidden units.

    Over crops, and three of five folds of All-Age-Faces' training pictures, that brought DLDL-v2's
    MAE from 4.90 to 4.71; 256 units with more dropout brought 4.70, at twice the time.
    """
    part.title = "Frozen HSE-FaceRes, several of its layers, one hidden layer"
    part.run.model.features = "layers"
    part.run.model.hidden = (128,)


def from_scratch(data: str, seeds: int, unit: str = "years") -> ml_collections.ConfigDict:
    """Six methods, each as ResNet10-Tiny at 64x64 from random weights; CEN's first generation."""
    run = cen.from_scratch(data)
    run.chain.generations = 1
    run.checkpoint_every = 4.0
    part = benchmark.part(run, "ResNet10-Tiny at 64 pixels, from scratch", seeds)
    part.methods = FROM_SCRATCH
    part.grids = _widths(("dldl_v2",), unit)
    run.sweep = {"optimizer.learning_rate": (0.02, 0.05)}
    return part


def fine_tuned(data: str, seeds: int) -> ml_collections.ConfigDict:
    """DLDL-v2 and CEN, HSE-FaceRes trained on at 224x224 behind its first 13 blocks.

    Why those stay as they are is in docs/backbones.md. On All-Age-Faces' validation part eight
    epochs of all blocks at a rate of 0.0003 gave DLDL-v2 6.13 years (112 pixels), five of six
    epochs of this recipe 4.90.
    """
    run = frozen.head_on_features(data=data, network="faceres")
    run.init.features = run.init.freeze = run.model.standardise = False
    run.init.frozen_blocks = 13
    run.init.backbone_rate = 0.0075
    run.model.hidden_dropout = 0.3
    run.batch_size = 32
    run.epochs = 8
    run.checkpoint_every = 1.0
    run.optimizer.learning_rate = 2e-3
    run.optimizer.warmup_epochs = 0.5
    part = benchmark.part(run, "HSE-FaceRes fine-tuned behind its first 13 blocks", seeds)
    part.methods = ("dldl_v2", "cen")
    part.pretrained = True
    return part


def generations(config: ml_collections.ConfigDict, title: str) -> ml_collections.ConfigDict:
    """Makes a benchmark one of CEN's generations, on frozen features and from scratch."""
    config.title = title
    for name in ("frozen", "scratch"):
        evolution(config.parts[name])
    del config.parts.finetune
    config.order = ("frozen", "scratch")
    config.peers.files = {}
    return config


def evolution(part: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Makes a part one of CEN's four generations, by `CEN_WAYS`, with five seeds."""
    part.run.chain.generations = 4
    part.run.chain.student = "teacher"
    part.run.sweep = {}
    part.grids = {}
    part.rows = CEN_WAYS
    part.reference = _ALONE
    part.generations = True
    part.seeds = 5
    return part


def _widths(names: tuple[str, ...], unit: str) -> dict[str, dict[str, tuple[float, ...]]]:
    """Returns the grids of methods whose labels are Gaussians."""
    return {name: {"method.sigma": WIDTHS[unit]} for name in names}
