"""Does CEN's evolution pay on All-Age-Faces? Four generations, five ways, five seeds.

The paper's way, from the teacher's weights, and three controls: the same steps without a teacher,
without its distribution (α = 0), and without the slack of the regression.

    python -m launch.benchmark --config=configs/benchmarks/cen_aaf.py --workdir=runs/cen_aaf \\
        --config.data.root=DIR --config.weights=faceres-deep.json
"""

import ml_collections

from configs.benchmarks import aaf
from configs.recipes import comparison


def get_config() -> ml_collections.ConfigDict:
    """Returns the benchmark's config."""
    config = aaf.of_whole_pictures()
    return comparison.generations(config, "CEN's generations on All-Age-Faces")
