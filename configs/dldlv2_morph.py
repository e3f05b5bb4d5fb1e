"""DLDL-v2 on MORPH (album 2), ThinAgeNet, the paper's settings.

Gao et al., Age Estimation Using Expectation of Label Distribution Learning, Table 1: MAE 1.969.
Random 80-20 split by picture, as the paper; it leaks persons, and the run says so.
Pre-trained by a softmax over the people of MS-Celeb-1M, the stage "ms_celeb".

    python -m launch.main --config=configs/dldlv2_morph.py --config.data.root=DIR \\
        --config.data.csv=morph.csv \\
        --config.stages.ms_celeb.data.root=DIR --workdir=runs/dldlv2_morph
"""

import ml_collections

from configs.recipes import dldlv2


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    config = dldlv2.fine_tuning(data="morph")
    config.data.protocol = "random"
    config.method.sigma = 2.0
    return config
