"""DLDL-v2 on the Chicago Face Database (attractiveness 1 to 7), ThinAgeNet, the paper's settings.

Gao et al., Learning Expectation of Label Distribution for Facial Age and Attractiveness
Estimation: MAE, RMSE and Pearson correlation; its table was not at hand. Labels 1:0.1:7, σ = 0.5.
The random 80-20 split is this library's choice.
Pre-trained by a softmax over the people of MS-Celeb-1M, the stage "ms_celeb".

    python -m launch.main --config=configs/dldlv2_cfd.py --config.data.root=DIR \\
        --config.stages.ms_celeb.data.root=DIR --workdir=runs/dldlv2_cfd
"""

import ml_collections

from configs.recipes import dldlv2


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    config = dldlv2.fine_tuning(data="cfd")
    config.data.space = "cfd"
    config.data.protocol = "random"
    config.method.sigma = 0.5
    return config
