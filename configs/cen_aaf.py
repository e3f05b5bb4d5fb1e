"""CEN on All-Age-Faces, the authors' own split: 6,637 training and 6,685 test pictures.

ResNet10-Tiny at 64x64 from scratch; MAE 7.17, 6.83, 6.71 by generation with seed 0, in about half
an hour on 2 CPU cores. The papers have no number for it.

python -m launch.main --config=configs/cen_aaf.py --config.data.root=DIR --workdir=runs/cen_aaf
"""

import ml_collections

from configs.recipes import cen


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    config = cen.from_scratch(data="aaf")
    config.data.crop = 0.75  # the release's margin around a face is wide
    # Without a pre-training to start from, the student starts from the teacher's weights, and the
    # transfer keeps its weight against the hard labels.
    config.chain.student = "teacher"
    config.method.scale_by_temperature_squared = True
    return config
