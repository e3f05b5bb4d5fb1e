"""DLDL-v2 on ChaLearn 2015 (apparent age), ThinAgeNet, the paper's settings.

Gao et al., Age Estimation Using Expectation of Label Distribution Learning, Table 1: MAE 3.135,
ε-error 0.272. Trained on the 2,476 training pictures, evaluated on the 1,136 validation pictures,
each with the standard deviation of its votes.
Pre-trained by a softmax over the people of MS-Celeb-1M, the stage "ms_celeb".

    python -m launch.main --config=configs/dldlv2_chalearn15.py --config.data.root=DIR \\
        --config.stages.ms_celeb.data.root=DIR --workdir=runs/dldlv2_chalearn15
"""

import ml_collections

from configs.recipes import dldlv2


def get_config() -> ml_collections.ConfigDict:
    """Returns the run's config."""
    return dldlv2.fine_tuning(data="chalearn15")
