"""The section `init` of a config: the origin of the first weights."""

import dataclasses

from ldl_jax.run.sections import ConfigError, at_least, expand_paths, positive

STAGE = "stage:"  # of init.path: the rest names a stage
RANDOM = "random:"  # init.path of a network of random weights


@dataclasses.dataclass(frozen=True)
class InitConfig:
    """The origin of the first weights, and how far they may move.

    Attributes:
      path: whose network is taken; the head is fresh. The workdir of a finished run (its last
        generation), a checkpoint or a model file, of any method and label space, a foreign weight
        file that `ldl_jax.models.pretrained` reads, or "stage:NAME", the run of `stages.NAME`. The
        pictures are then normalised as that network's were. "random:" is a network of random
        weights, as a frozen one to compare with. "" for fresh weights.
      head: take its head too, of the same method over as many labels.
      freeze: train the head alone; the network stays as it is, its batch statistics too.
      frozen_blocks: the first so many blocks of the network keep their weights, and no gradient is
        computed for them; 0 for none. Batch statistics go on as in any training.
      backbone_rate: factor of the network's learning rate; the head's is 1.
      layer_decay: factor of the learning rate from each block of the network to the one before it,
        starting at the head. Blocks are the top-level names of the network's parameters in the
        order it uses them, those without a kernel with the one before (`ldl_jax.train.transfer`).
      strict: whether a checkpoint must fit the network in every array; otherwise those that fit
        are taken, and the others start anew.
      teachers: finished runs or checkpoints, of any networks and methods over the same labels and
        inputs, that teach the first generation together: it learns from the mean of their
        distributions and slack, as a later one does from its teacher.
      features: compute the frozen network's features of each picture and its mirror image once, and
        train the head on them from device memory. Augmentation then only draws among what is kept.
      features_views: so many augmented views of each training picture beside them.
      features_cache: the folder that features are kept in, which runs may share; "" for "features"
        in the workdir.
    """

    path: str = ""
    head: bool = False
    freeze: bool = False
    frozen_blocks: int = 0
    backbone_rate: float = 1.0
    layer_decay: float = 1.0
    strict: bool = True
    teachers: tuple[str, ...] = ()
    features: bool = False
    features_views: int = 0
    features_cache: str = ""

    def __post_init__(self) -> None:
        expand_paths("init", self, "path", "features_cache", "teachers")
        at_least("init.features_views", self.features_views, 0)
        if self.features and not self.freeze:
            raise ConfigError(
                "init.features: only the features of a network that stays as it is can be computed "
                "once; give init.freeze=true and init.path"
            )
        if not self.features and (self.features_views or self.features_cache):
            key = "features_views" if self.features_views else "features_cache"
            raise ConfigError(f"init.{key}: is of features; give init.features=true")
        at_least("init.frozen_blocks", self.frozen_blocks, 0)
        positive("init.backbone_rate", self.backbone_rate)
        positive("init.layer_decay", self.layer_decay)
        if self.layer_decay > 1:
            raise ConfigError(f"init.layer_decay: expected at most 1, got {self.layer_decay}")
        if self.freeze and not self.path:
            raise ConfigError("init.freeze: keeps a trained network as it is; give init.path")
        if self.frozen_blocks and not self.path:
            raise ConfigError("init.frozen_blocks: are a trained network's; give init.path")
        if self.head and not self.path:
            raise ConfigError("init.head: takes a trained network's head; give init.path")
        if self.freeze and (self.backbone_rate, self.layer_decay) != (1, 1):
            raise ConfigError(
                "init.freeze: a frozen network has no learning rate; leave init.backbone_rate and "
                "init.layer_decay at 1"
            )
        if self.freeze and self.frozen_blocks:
            raise ConfigError(
                "init.freeze: freezes all of the network's blocks; leave init.frozen_blocks at 0"
            )

    @property
    def stage(self) -> str:
        """The stage that `path` names, or ""."""
        return self.path.removeprefix(STAGE) if self.path.startswith(STAGE) else ""
