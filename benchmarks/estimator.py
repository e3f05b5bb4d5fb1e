"""Compares LDLRegressor with scikit-learn's regressors: the error, and the seconds of a fit.

Two tables: scikit-learn's own set of diabetes, and a drawn one whose labels are whole numbers that
depend on the features in curves. A quarter of the rows tests. Each regressor is fitted once, and
then again as often as told; the first fit of ours compiles, the median is of the others.

python -m benchmarks.estimator --rows=20000 --repeats=3
"""

import statistics
import time
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import printing
from ldl_jax.estimators import LDLRegressor

Table = tuple[np.ndarray, np.ndarray]
EPOCHS = 50


def drawn(rows: int) -> Table:
    """Returns features [N, 16] and whole labels [N] of 0 to 100 that depend on them in curves."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 16))
    curves = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + np.abs(X[:, 3]) + 0.5 * X[:, 4]
    return X, np.clip(np.round(45 + 12 * curves + 4 * rng.normal(size=rows)), 0, 100)


def regressors(space: str, sigma: float) -> dict[str, RegressorMixin]:
    """Returns the regressors by name; ours and the perceptron have the same layer and epochs."""
    ours: dict[str, Any] = {"space": space, "epochs": EPOCHS, "random_state": 0}
    perceptron = MLPRegressor(
        hidden_layer_sizes=(64,),
        batch_size=64,
        learning_rate_init=3e-3,
        max_iter=EPOCHS,
        tol=0,
        random_state=0,
    )
    return {
        "Ridge": make_pipeline(StandardScaler(), Ridge()),
        "HistGradientBoostingRegressor": HistGradientBoostingRegressor(
            loss="absolute_error", random_state=0
        ),
        "MLPRegressor": make_pipeline(StandardScaler(), perceptron),
        "LDLRegressor, dldl_v2": LDLRegressor(hyper_parameters={"sigma": sigma}, **ours),
        "LDLRegressor, coral": LDLRegressor("coral", **ours),
    }


def compare(name: str, table: Table, space: str, sigma: float, repeats: int) -> None:
    """Prints the rows of a table of data."""
    X, X_test, y, y_test = train_test_split(*table, random_state=0)
    for label, regressor in regressors(space, sigma).items():
        seconds = []
        for _ in range(1 + repeats):
            start = time.perf_counter()
            fitted = clone(regressor).fit(X, y)
            seconds.append(time.perf_counter() - start)
        error = np.abs(fitted.predict(X_test) - y_test).mean()
        later = statistics.median(seconds[1:])
        print(printing.line([name, label, f"{error:.2f}", f"{seconds[0]:.2f}", f"{later:.2f}"]))


def main() -> None:
    """Prints the table."""
    parser = printing.parser("estimator", __doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="of the drawn table")
    parser.add_argument("--repeats", type=int, default=3, help="fits after the first")
    arguments = parser.parse_args()
    print(f"{printing.device()}; {EPOCHS} epochs\n")
    print(printing.head("table|regressor|MAE:|first fit, s:|later fits, s:"))
    diabetes = load_diabetes(return_X_y=True)
    compare(f"diabetes, {len(diabetes[1])}", diabetes, "20:2:360", 40.0, arguments.repeats)
    compare(f"drawn, {arguments.rows:,}", drawn(arguments.rows), "0:1:100", 2.0, arguments.repeats)


if __name__ == "__main__":
    main()
