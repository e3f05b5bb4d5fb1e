"""Lists the recipes of the papers, by name; a config takes one field by field."""

import dataclasses
import math

from ldl_jax.data.augment.augmentation import Recipe
from ldl_jax.data.augment.colour import Colour
from ldl_jax.data.augment.gridmask import GridMask
from ldl_jax.data.augment.warp import Warp

_UNCROPPED = Recipe(scale=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.5)

# CEN ("Pre-processing"): random resized crop (scale .8-1, aspect .8-1.25) and flip.
_CEN = Recipe()

# DLDL-v2 (4.3, "Data Augmentation") names flip, scale, colour/gray, rotation and jitter; the
# numbers are from the authors' code (gaobb/DLDL-v2, datasets/chalearn16.lua). Its scale takes the
# short side to 112-224 pixels and back to 224, which costs detail and moves nothing; corners are
# black; values are not limited to 0-255. It resizes by bicubic samples, here by bilinear means.
_DLDL_V2 = dataclasses.replace(
    _UNCROPPED,
    warp=Warp(rotation=15.0, resolution=(0.5, 1.0), border="black"),
    colour=Colour(gray=0.5, brightness=0.4, contrast=0.4, saturation=0.4),
)

# SSR-Net (4.1) names zoom, shift, shear and flip; the numbers and the rotation are from the
# authors' code (shamangary/SSR-Net, TYY_generators.py). Its Keras takes the shear's .2 in radians,
# repeats the picture's edge, and samples the nearest pixel after each operation; here one warp
# samples bilinearly.
_SSR_NET = dataclasses.replace(
    _UNCROPPED,
    warp=Warp(
        rotation=20.0,
        rotation_probability=0.25,
        shear=math.degrees(0.2),
        shear_probability=0.25,
        shift=0.2,
        shift_probability=0.25,
        zoom=(0.8, 1.2),
        zoom_probability=0.25,
        border="edge",
    ),
)

# The Adience report ("Data augmentation"): flip, rotation 20, jitter .1/.1/.1/.02, GridMask with d
# in [96, 224] and r = .6, its probability rising from .6 to .8 over training. Flip, rotation and
# jitter are torchvision's: black corners, values limited to 0-255 (there after each operation,
# here at the end), and the nearest pixel where this warp is bilinear.
_ADIENCE = dataclasses.replace(
    _UNCROPPED,
    warp=Warp(rotation=20.0, border="black"),
    colour=Colour(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.02, clip=True),
    gridmask=GridMask(spacing=(96 / 224, 1.0), keep=0.6, probability=(0.6, 0.8)),
)

RECIPES = {"cen": _CEN, "dldl_v2": _DLDL_V2, "ssr_net": _SSR_NET, "adience": _ADIENCE}
