"""CEN's τ, α and λ: Li et al., A Coupled Evolutionary Network for Age Estimation.

Table 6, ResNet18 on MORPH, MAE; here three seeds of each row, at t = 3:

    τ  α    λ  MAE      τ  α     λ  MAE      τ  α    λ  MAE
    1  0.5  4  2.096    2  0.25  4  1.946    2  0.5  1  1.965
    2  0.5  4  1.905    2  0.50  4  1.905    2  0.5  2  1.962
    3  0.5  4  1.941    2  0.75  4  1.921    2  0.5  3  1.922
    4  0.5  4  1.970    2  1.00  4  1.952    2  0.5  4  1.905
                                             2  0.5  5  1.933

The row that comes three times is one run. (The paper's text has τ and α at λ = 2, its table at 4.)
All start from one pre-training, the stage "imdb_wiki", and differ in numbers alone, so they are one
group.

    python -m launch.main --config=configs/sweeps/cen_table6.py --config.data.root=DIR \\
        --config.data.csv=morph.csv --config.stages.imdb_wiki.data.root=DIR \\
        --workdir=runs/cen_table6
"""

import ml_collections

from configs import cen_morph

SEEDS = (0, 1, 2)
TAU, ALPHA, LAM = 2.0, 0.5, 4.0  # the row that is in all three columns


def get_config() -> ml_collections.ConfigDict:
    """Returns the sweep's config."""
    config = cen_morph.get_config()
    config.chain.generations = 3
    rows = [(tau, ALPHA, LAM) for tau in (1.0, 2.0, 3.0, 4.0)]
    rows += [(TAU, alpha, LAM) for alpha in (0.25, 0.75, 1.0)]
    rows += [(TAU, ALPHA, lam) for lam in (1.0, 2.0, 3.0, 5.0)]
    config.sweep = tuple(
        {"method.temperature": tau, "method.alpha": alpha, "method.lam": lam, "seed": SEEDS}
        for tau, alpha, lam in rows
    )
    config.table.columns = "mae"
    return config
