"""DLDL-v2 on SCUT-FBP (attractiveness 1 to 5), ThinAgeNet, the paper's settings.

Gao et al., Learning Expectation of Label Distribution for Facial Age and Attractiveness
Estimation: MAE, RMSE and Pearson correlation; its table was not at hand. Labels 1:0.1:5, each
with the standard deviation of its ratings. The random 80-20 split is this
library's choice.
Pre-trained by a softmax over the people of MS-Celeb-1M, the stage "ms_celeb".

    python -m launch.main --config=configs/dldlv2_scut_fbp.py --config.data.root=DIR \\
        --config.stages.ms_celeb.data.root=DIR --workdir=runs/dldlv2_scut_fbp
"""

import ml_collections

from configs.recipes import dldlv2


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    config = dldlv2.fine_tuning(data="scut_fbp")
    config.data.space = "scut_fbp"
    config.data.protocol = "random"
    return config
