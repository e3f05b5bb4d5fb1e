"""PyTorch's side of `benchmarks.pipeline`: a DataLoader with torchvision-style transforms.

Pillow decodes the pictures, as in torchvision's datasets; the transforms are those of torchvision's
v2 on uint8 tensors. This module imports no JAX, so that workers start quickly and share nothing.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

_TRIES = 10


class Pictures(Dataset):
    """Reads files as normalised float32 tensors [3, size, size], randomly cropped and flipped.

    It follows CEN's recipe, the library's default: a crop of 0.8 to 1 of the area with an aspect of
    0.8 to 1.25, resized (bilinear, antialiased), and flipped in half of all cases.
    """

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        self.paths, self.size = [str(path) for path in paths], size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            picture = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        top, left, height, width = _box(*picture.shape[1:])
        cut = picture[:, top : top + height, left : left + width]
        side = (self.size, self.size)
        resized = torch.nn.functional.interpolate(
            cut[None], side, mode="bilinear", align_corners=False, antialias=True
        )[0]
        if torch.rand(()) < 0.5:
            resized = resized.flip(-1)
        return resized.float().sub_(127.5).div_(127.5)


def _box(rows: int, columns: int) -> tuple[int, int, int, int]:
    for _ in range(_TRIES):
        area = rows * columns * torch.empty(()).uniform_(0.8, 1.0).item()
        aspect = math.exp(torch.empty(()).uniform_(math.log(0.8), math.log(1.25)).item())
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if width <= columns and height <= rows:
            top = int(torch.randint(0, rows - height + 1, ()))
            left = int(torch.randint(0, columns - width + 1, ()))
            return top, left, height, width
    return 0, 0, rows, columns


def epochs(paths: Sequence[Path], size: int, batch: int, workers: int) -> Callable[[int], None]:
    """Returns a function that reads all files a number of times, with workers that stay."""
    loader = DataLoader(
        Pictures(paths, size),
        batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=True,
        prefetch_factor=4,
        multiprocessing_context="spawn",  # a fork of a process with threads may hang
    )

    def read(times: int) -> None:
        for _ in range(times):
            for images in loader:
                assert images.shape[0] == batch

    return read
