"""Networks of the library in PyTorch, for comparison, with the same layers by the same names."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from flax.traverse_util import flatten_dict
from torch import nn
from torch.nn import functional

from ldl_jax.models.functional import ModelState, Params


class TorchBlock(nn.Module):
    """Adds two 3x3 convolutions to a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps x [B, in, H, W] to [B, out, H / stride, W / stride]."""
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.projects:
            x = self.shortcut_norm(self.shortcut(x))
        return functional.relu(x + y)


class TorchResNet(nn.Module):
    """Stacks Conv1 to Conv5_x of CEN's Table 7 and the average pool."""

    def __init__(self, blocks: Sequence[int], channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        self.stem_norm = nn.BatchNorm2d(channels)
        self.names: list[str] = []
        self.width = channels
        for stage, count in enumerate(blocks):
            for index in range(count):
                outputs = channels * 2**stage
                stride = 2 if stage > 0 and index == 0 else 1
                name = f"conv{stage + 2}_{index + 1}"
                self.add_module(name, TorchBlock(self.width, outputs, stride))
                self.names.append(name)
                self.width = outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps images [B, 3, H, W] to features [B, 8 * channels]."""
        x = functional.relu(self.stem_norm(self.stem(images)))
        x = functional.max_pool2d(x, 3, 2, 1)
        for name in self.names:
            x = getattr(self, name)(x)
        return x.mean(dim=(2, 3))


class TorchThinAgeNet(nn.Module):
    """Stacks DLDL-v2's VGG16 with a share `rate` of its channels, and hybrid pooling."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.blocks: list[list[str]] = []
        self.width = 3
        shapes = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions
        for block, (channels, count) in enumerate(shapes, start=1):
            self.blocks.append([f"{block}_{layer}" for layer in range(1, count + 1)])
            for name in self.blocks[-1]:
                outputs = round(rate * channels)
                self.add_module(f"conv{name}", nn.Conv2d(self.width, outputs, 3, 1, 1, bias=False))
                self.add_module(f"norm{name}", nn.BatchNorm2d(outputs))
                self.width = outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps images [B, 3, H, W] to features [B, 512 rate]."""
        x = images
        for names in self.blocks:
            for name in names:
                x = getattr(self, f"conv{name}")(x)
                x = functional.relu(getattr(self, f"norm{name}")(x))
            x = functional.max_pool2d(x, 2)
        return x.mean(dim=(2, 3))


class TorchSSRNet(nn.Module):
    """Runs SSR-Net's two streams and the stages that read them, up to the head, for one size."""

    _reduced = 10  # channels that each stage reduces a stream to

    def __init__(self, size: int = 64, stages: Sequence[int] = (3, 3, 3)) -> None:
        super().__init__()
        self.stages = tuple(stages)
        count = len(self.stages)
        sides = [size]  # after each block and its pooling
        for block in range(1, count + 2):
            sides.append((sides[-1] - 2) // (2 if block <= count else 1))
        for stream, channels in (("x", 32), ("s", 16)):
            for block in range(1, count + 2):
                conv = nn.Conv2d(3 if block == 1 else channels, channels, 3)
                self.add_module(f"{stream}_conv{block}", conv)
                norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
                self.add_module(f"{stream}_norm{block}", norm)
            for k in range(1, count + 1):
                self.add_module(f"{stream}_reduce{k}", nn.Conv2d(channels, self._reduced, 1))
        self.widths: dict[str, int] = {}
        for k, bins in enumerate(self.stages, start=1):
            side = sides[count + 1] if k == 1 else sides[count + 1 - k] // 2**k
            cells = self._reduced * side**2
            for stream in ("x", "s"):
                self.add_module(f"{stream}_dense{k}", nn.Linear(cells, bins))
            self.add_module(f"mix{k}", nn.Linear(bins, 2 * bins))
            self.widths |= {f"stage{k}": 2 * bins, f"range{k}": cells}
        self.dropout = nn.Dropout(0.2)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Maps images [B, 3, size, size] to "stage{k}" [B, 2 s_k] and "range{k}" [B, cells]."""
        count = len(self.stages)
        blocks = {stream: self._blocks(stream, images) for stream in "xs"}
        features = {}
        for k in range(1, count + 1):
            block, pool = (count, 1) if k == 1 else (count - k, 2**k)
            x = functional.relu(getattr(self, f"x_reduce{k}")(blocks["x"][block]))
            s = functional.relu(getattr(self, f"s_reduce{k}")(blocks["s"][block]))
            if pool > 1:
                x, s = functional.avg_pool2d(x, pool), functional.max_pool2d(s, pool)
            # The order H, W, C is that of channels last in memory, and the library's.
            x, s = (y.permute(0, 2, 3, 1).flatten(1) for y in (x, s))
            of_s = functional.relu(getattr(self, f"s_dense{k}")(self.dropout(s)))
            of_x = functional.relu(getattr(self, f"x_dense{k}")(self.dropout(x)))
            features[f"stage{k}"] = functional.relu(getattr(self, f"mix{k}")(of_s * of_x))
            features[f"range{k}"] = s * x
        return features

    def _blocks(self, stream: str, images: torch.Tensor) -> list[torch.Tensor]:
        """Returns the blocks' outputs, all but the last after their pooling."""
        blocks, x = [], images
        for block in range(1, len(self.stages) + 2):
            x = getattr(self, f"{stream}_norm{block}")(getattr(self, f"{stream}_conv{block}")(x))
            x = functional.relu(x) if stream == "x" else torch.tanh(x)
            if block <= len(self.stages):
                pool = functional.avg_pool2d if stream == "x" else functional.max_pool2d
                x = pool(x, 2)
            blocks.append(x)
        return blocks


Backbone = TorchResNet | TorchThinAgeNet | TorchSSRNet
# Each is made for pictures of one size, though most take any.
NETWORKS: dict[str, Callable[[int], Backbone]] = {
    "resnet10": lambda size: TorchResNet((1, 1, 1, 1), 64),
    "resnet18": lambda size: TorchResNet((2, 2, 2, 2), 64),
    "resnet10_tiny": lambda size: TorchResNet((1, 1, 1, 1), 32),
    "resnet18_tiny": lambda size: TorchResNet((2, 2, 2, 2), 32),
    "thinagenet": lambda size: TorchThinAgeNet(0.5),
    "tinyagenet": lambda size: TorchThinAgeNet(0.25),
    "ssrnet": lambda size: TorchSSRNet(size),
}


def copy_weights(network: nn.Module, params: Params, model_state: ModelState) -> None:
    """Copies the library's weights into a network that has a `backbone` and a `head`.

    Raises:
      ValueError: they differ in a layer or in its shape.
    """
    names = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    state = {}
    leaves = flatten_dict(params) | flatten_dict({"backbone": model_state})
    for path, leaf in leaves.items():
        # The library's normalisation layers wrap a layer named "norm", which PyTorch has not.
        *modules, last = [part for part in path if part != "norm"]
        value = torch.from_numpy(np.array(leaf))
        if last == "kernel":  # HWIO to OIHW, [in, out] to [out, in]
            value = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T
        state[".".join([*modules, names.get(last, last)])] = value
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(f"the networks differ: {error}") from None
    left = [name for name in missing if not name.endswith("num_batches_tracked")]
    if left or unexpected:
        raise ValueError(f"the networks differ: {left} missing, {unexpected} unexpected")
