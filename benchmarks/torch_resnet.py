"""CEN's networks, loss and steps in PyTorch: the same as the library's, for comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import roofline

# Blocks a stage and channels of the first one (CEN, Table 7).
NETWORKS: dict[str, tuple[Sequence[int], int]] = {
    "resnet10": ((1, 1, 1, 1), 64),
    "resnet18": ((2, 2, 2, 2), 64),
    "resnet10_tiny": ((1, 1, 1, 1), 32),
    "resnet18_tiny": ((2, 2, 2, 2), 32),
}


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

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


class ResNet(nn.Module):
    """Conv1 to Conv5_x of CEN's Table 7 and the average pool; names are the library's."""

    def __init__(self, blocks: Sequence[int], channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        self.stem_norm = nn.BatchNorm2d(channels)
        self.names: list[str] = []
        self.width = channels
        for stage, count in enumerate(blocks):
            for place in range(count):
                outputs = channels * 2**stage
                stride = 2 if stage > 0 and place == 0 else 1
                name = f"conv{stage + 2}_{place + 1}"
                self.add_module(name, Block(self.width, outputs, stride))
                self.names.append(name)
                self.width = outputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps images [B, 3, H, W] to features [B, 8 * channels]."""
        x = functional.relu(self.stem_norm(self.stem(images)))
        x = functional.max_pool2d(x, 3, 2, 1)
        for name in self.names:
            x = getattr(self, name)(x)
        return x.mean(dim=(2, 3))


class Cen(nn.Module):
    """A trunk with CEN's two heads."""

    def __init__(self, name: str, labels: int) -> None:
        super().__init__()
        self.trunk = ResNet(*NETWORKS[name])
        self.logits = nn.Linear(self.trunk.width, labels)
        self.score = nn.Linear(self.trunk.width, 1)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps images [B, 3, H, W] to logits [B, K] and scores [B]."""
        features = self.trunk(images)
        return self.logits(features), self.score(features)[:, 0]


def copy_weights(trunk: ResNet, params: Mapping[str, Any], model_state: Mapping[str, Any]) -> None:
    """Gives a trunk the weights of the library's network of the same name."""
    names = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    state = {}
    for path, leaf in [*_leaves(params), *_leaves(model_state)]:
        # Each of the library's normalisations wraps one named "norm".
        *modules, last = [part for part in path if part != "norm"]
        value = torch.from_numpy(np.array(leaf))
        if last == "kernel":
            value = value.permute(3, 2, 0, 1)  # HWIO to OIHW
        state[".".join([*modules, names.get(last, last)])] = value
    missing, unexpected = trunk.load_state_dict(state, strict=False)
    left = [name for name in missing if not name.endswith("num_batches_tracked")]
    if left or unexpected:
        raise ValueError(f"the networks differ: {left} missing, {unexpected} unexpected")


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(tree, Mapping):
        return [(path, tree)]
    return [leaf for name, branch in tree.items() for leaf in _leaves(branch, (*path, name))]


def runs(
    name: str, size: int, batch: int, dtype: str, device: str, labels: int
) -> dict[str, Callable[[int], None]]:
    """A "train" and an "infer" that each take a number of steps on one ready batch.

    Channels last, bfloat16 by autocast, and compiled on CUDA. Inference is without gradients.
    """
    network: Any = Cen(name, labels)
    network.to(device=device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(batch, 3, size, size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    ages = torch.randint(labels, (batch,), device=device)
    forward = network
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True  # as JAX does by default
        torch.backends.cudnn.benchmark = True
        forward = torch.compile(network)

    def autocast() -> torch.autocast:
        return torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")

    def train(steps: int) -> None:
        network.train()
        for _ in range(steps):
            with autocast():
                logits, score = forward(images)
            regression = (score.float() - ages / (labels - 1)).abs().mean()
            loss = functional.cross_entropy(logits.float(), ages) + 4.0 * regression
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        _wait(device)

    def infer(steps: int) -> None:
        network.eval()
        with torch.inference_mode(), autocast():
            for _ in range(steps):
                forward(images)
        _wait(device)

    return {"train": train, "infer": infer}


def matmul_flops(side: int, dtype: str, device: str) -> float:
    """FLOP/s of one large product of square matrices."""
    a = torch.ones(side, side, device=device, dtype=getattr(torch, dtype))

    def product() -> None:
        a @ a
        _wait(device)

    return 2 * side**3 / roofline.best(product)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
