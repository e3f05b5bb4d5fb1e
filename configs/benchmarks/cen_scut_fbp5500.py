"""Does CEN's evolution pay on SCUT-FBP5500? Four generations, five ways, five seeds.

The paper's way, from the teacher's weights, and three controls: the same steps without a teacher,
without its distribution (α = 0), and without the slack of the regression.

    python -m launch.benchmark --config=configs/benchmarks/cen_scut_fbp5500.py \\
        --workdir=runs/cen_scut --config.data.root=DIR --config.weights=faceres-deep.json
"""

import ml_collections

from configs.benchmarks import scut_fbp5500
from configs.recipes import comparison


def get_config() -> ml_collections.ConfigDict:
    """Returns the benchmark's config."""
    return comparison.generations(scut_fbp5500.get_config(), "CEN's generations on SCUT-FBP5500")
