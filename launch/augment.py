"""Draws a contact sheet of what an augmentation recipe does, as a PNG.

Each row shows a picture as it is, and then as training would see it, draw after draw. Squares that
GridMask hides have the network's mean colour, here grey.

python -m launch.augment --recipe=dldl_v2 --out=sheet.png
python -m launch.augment --recipe=adience --out=sheet.png --images=faces/ --progress=0
python -m launch.augment --own=my_change:darker --option=most=0.4 --out=sheet.png
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from absl import flags
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.augment import own_change
from ldl_jax.data.augment.augmentation import Preprocessing, Recipe, augment
from ldl_jax.data.augment.recipes import RECIPES
from ldl_jax.data.datasets import folders
from ldl_jax.data.synthetic import faces as synthetic
from ldl_jax.files import whole
from ldl_jax.run.command import fail, only_flags, quiet, start
from ldl_jax.run.pairs import pairs

_RECIPE = flags.DEFINE_enum("recipe", "cen", list(RECIPES), "whose augmentation")
_OWN = flags.DEFINE_string("own", "", "a change of one's own beside it, package.module:factory")
_OPTION = flags.DEFINE_multi_string(
    "option", [], "NAME=VALUE of its factory; may be repeated", allow_override=True
)
_OUT = flags.DEFINE_string("out", None, "the PNG to write")
_IMAGES = flags.DEFINE_string("images", "", "a folder of pictures; by default drawn faces")
_SIDE = flags.DEFINE_integer("side", 128, "the network's input, in pixels", 32, 1024)
_ROWS = flags.DEFINE_integer("rows", 6, "how many pictures", 1, 100)
_DRAWS = flags.DEFINE_integer("draws", 8, "how many draws of each", 1, 100)
_SEED = flags.DEFINE_integer("draw_seed", 0, "of the draws", 0)
_PROGRESS = flags.DEFINE_float("progress", 1.0, "how much of the training is over", 0, 1)
_GAP = 2  # white pixels between pictures


def main(arguments: Sequence[str]) -> None:
    """Writes the sheet; ends the process with 1 where something is wrong."""
    quiet()
    only_flags(arguments)
    if not _OUT.value:
        fail("--out: give the PNG to write")
    try:
        recipe = chosen_recipe()
        originals = chosen(_IMAGES.value, _ROWS.value, _SIDE.value)
        drawn = draws(originals, recipe, _DRAWS.value, _SEED.value, _PROGRESS.value)
        with whole(Path(_OUT.value)) as file:
            Image.fromarray(tile(np.concatenate([originals[:, None], drawn], 1))).save(file, "PNG")
    except (ValueError, OSError) as error:
        fail(str(error))
    named = f"{_RECIPE.value}{f' with {_OWN.value}' if _OWN.value else ''}"
    print(f"{_OUT.value}: {len(originals)} pictures, {_DRAWS.value} draws of {named}")


def chosen_recipe() -> Recipe:
    """Returns the recipe that the flags name, with one's own change, which is checked."""
    recipe, options = RECIPES[_RECIPE.value], pairs("option", _OPTION.value)
    if not _OWN.value:
        if options:
            raise ValueError("--option: is of a change of one's own; name it with --own")
        return recipe
    own_change.check(_OWN.value, options, _SIDE.value)
    return dataclasses.replace(recipe, name=_OWN.value, options=options)


def chosen(folder: str, count: int, side: int) -> np.ndarray:
    """Reads pictures uint8 [N, side, side, 3] from all over a folder; draws faces if it is ""."""
    if not folder:
        faces = synthetic.faces(max(8, count), side).images
        assert faces is not None
        return faces[:count]
    root = Path(folder)
    left: folders.Left = {}
    files = list(folders.below(root, left))
    for note in folders.left_notes(left):
        sys.stderr.write(f"{note}\n")
    if not files:
        raise ValueError(f"--images: no picture in {folder}")
    indices = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    return np.stack([pictures.decode_one(root / files[i], side) for i in indices])


def draws(
    originals: np.ndarray, recipe: Recipe, count: int, seed: int, progress: float
) -> np.ndarray:
    """Augments uint8 [N, side, side, 3] as training would, to uint8 [N, count, side, side, 3]."""
    side = originals.shape[1]
    preprocessing = Preprocessing(side, side)
    repeated = np.repeat(originals, count, axis=0)
    jitted = jax.jit(augment, static_argnums=(2, 3))
    inputs = jitted(jax.random.key(seed), repeated, recipe, preprocessing, progress)
    shown = np.asarray(inputs) * preprocessing.std + preprocessing.mean
    return shown.clip(0, 255).round().astype(np.uint8).reshape(-1, count, side, side, 3)


def tile(cells: np.ndarray) -> np.ndarray:
    """Tiles rows and columns [R, C, side, side, 3] into one picture uint8 [height, width, 3]."""
    gaps = ((0, 0), (0, 0), (0, _GAP), (0, _GAP), (0, 0))
    padded = np.pad(cells, gaps, constant_values=255)
    rows, columns, height, width, _ = padded.shape
    sheet = padded.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    return np.insert(sheet, [width] * 3 * _GAP, 255, axis=1)  # the originals stand apart


def cli() -> None:
    """Runs the command, for `python -m launch.augment` and for `ldl-augment`."""
    start(main)


if __name__ == "__main__":
    cli()
