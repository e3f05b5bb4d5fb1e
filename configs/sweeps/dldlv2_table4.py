"""DLDL-v2's λ and Δl: Gao et al., Age Estimation Using Expectation of Label Distribution Learning.

Table 4, ThinAgeNet; here three seeds of each row, on ChaLearn 2015 (data.space is 0:Δl:100):

    λ      Δl (K)      ChaLearn15          ChaLearn16          Morph
                       MAE    ε-error      MAE    ε-error      MAE
    0.01   1 (101)     3.223  0.282        3.493  0.270        1.960
    0.10   1 (101)     3.188  0.278        3.455  0.268        1.972
    1.00   1 (101)     3.135  0.272        3.452  0.267        1.969
    10.00  1 (101)     3.144  0.273        3.487  0.270        1.977
    1.00   4 (26)      3.182  0.276        3.473  0.270        1.963
    1.00   2 (51)      3.184  0.274        3.484  0.271        1.963
    1.00   0.50 (201)  3.184  0.278        3.484  0.269        1.992
    1.00   0.25 (401)  3.167  0.274        3.459  0.265        2.028

All start from one pre-training, the stage "ms_celeb". The other columns are
--config.data.name=chalearn16, and --config.data.name=morph with --config.data.protocol=random.

    python -m launch.main --config=configs/sweeps/dldlv2_table4.py --config.data.root=DIR \\
        --config.stages.ms_celeb.data.root=DIR --workdir=runs/dldlv2_table4
"""

import ml_collections

from configs import dldlv2_chalearn15

SEEDS = (0, 1, 2)


def get_config() -> ml_collections.ConfigDict:
    """Returns the sweep's config."""
    config = dldlv2_chalearn15.get_config()
    config.data.space = "0:1:100"
    config.sweep = (
        {"method.lam": (0.01, 0.1, 1.0, 10.0), "seed": SEEDS},
        {"data.space": ("0:4:100", "0:2:100", "0:0.5:100", "0:0.25:100"), "seed": SEEDS},
    )
    config.table.columns = "mae epsilon_error"
    return config
