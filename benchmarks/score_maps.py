"""Measures whether the score maps of a model of drawn faces are faithful.

    python -m benchmarks.score_maps runs/quickstart
    python -m benchmarks.score_maps runs/quickstart --pictures=400 --json=maps.json

Deleting the region that a map marks must move the answer further than deleting another one of the
same size; and of what is marked, more must lie where wrinkles are than of the picture's area.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np

import ldl_jax
from ldl_jax.data.synthetic import masks
from ldl_jax.data.synthetic.faces import faces
from ldl_jax.predict import faithful
from ldl_jax.predict.influence import influence

_SEED = 77  # of other faces than a training's
_SIDES = (0.2, 0.3, 0.4)


def main() -> None:
    """Prints the measurements, and writes them as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    predictor = ldl_jax.load(options.checkpoint)
    drawn = faces(options.pictures, predictor.preprocessing.stored_size, _SEED, lazy=True)
    assert drawn.images is not None
    images = drawn.images[:]
    maps = influence(predictor, images)

    def answer(pictures: np.ndarray) -> np.ndarray:
        return np.asarray(predictor.answer(pictures).probs)

    results: dict[str, object] = {}
    for side in _SIDES:
        result = faithful.deletion(answer, images, maps, predictor.space, side=side)
        results[f"deletion, side {side:g}"] = dataclasses.asdict(result)
        low, high = result.interval
        print(
            f"a square of {side:.0%} of the side: the marked one moves the answer by "
            f"{result.marked:.2f} {predictor.space.unit}, a random one by {result.random:.2f}; "
            f"difference {result.difference:+.2f} [{low:+.2f}, {high:+.2f}], "
            f"further in {result.share:.0%} of {result.pictures} pictures"
        )
    wrinkled = masks.wrinkles(drawn)
    old = drawn.labels >= 50
    share, area = faithful.weight_within(maps[old], wrinkled[old])
    results["wrinkles"] = {"share": share, "area": area, "pictures": int(old.sum())}
    print(
        f"of what raises the answers for {int(old.sum())} faces of 50 years and over, {share:.1%} "
        f"lies where wrinkles are, which are {area:.1%} of the picture"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
