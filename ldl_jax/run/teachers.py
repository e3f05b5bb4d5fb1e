"""The teachers that a config names: runs whose networks teach a first generation together."""

from collections.abc import Sequence

from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import LabelSpace
from ldl_jax.placement import Placement
from ldl_jax.predict.loading import load
from ldl_jax.run.sections import ConfigError
from ldl_jax.train.ensemble import Ensemble, joined

# Of `Preprocessing`, which all must share.
_INPUTS = ("size", "crop", "square", "channels", "mean", "std")


def read(
    paths: Sequence[str],
    space: LabelSpace,
    preprocessing: Preprocessing,
    placement: Placement,
    trust: Sequence[str] = (),
) -> Ensemble | None:
    """Returns the ensemble of the runs at these paths; None without any.

    `trust` are the modules that they may have imported: those that the config itself names.

    Raises:
      ConfigError: one cannot be read, has another label space, or takes other inputs; what is wrong
        with all of them is said at once.
    """
    if not paths:
        return None
    members, weights, faults = [], [], []
    for path in paths:
        try:
            loaded = load(path, trust=trust)
        except ValueError as error:
            faults.append(f"{path}: {str(error).removeprefix('path: ')}")
            continue
        if (loaded.space.values, loaded.space.bounds) != (space.values, space.bounds):
            faults.append(
                f"{path}: has the labels {loaded.space.low:g} to {loaded.space.high:g} "
                f"({loaded.space.size}), this run {space.low:g} to {space.high:g} ({space.size})"
            )
        theirs = loaded.preprocessing
        faults += [
            f"{path}: takes pictures of {key} {getattr(theirs, key)}, this run's are of "
            f"{getattr(preprocessing, key)}"
            for key in _INPUTS
            if getattr(theirs, key) != getattr(preprocessing, key)
        ]
        model, method, trained = loaded.parts
        members.append((model, method))
        weights.append(trained)
    if faults:
        raise ConfigError(f"init.teachers: {'; '.join(faults)}")
    return Ensemble(tuple(members), placement.place(joined(weights)))
