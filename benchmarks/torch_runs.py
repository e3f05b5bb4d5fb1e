"""Trains and infers the library's configs in PyTorch, for comparison.

The heads, losses and optimizers do what the library's do, on `benchmarks.torch_networks`.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks import roofline
from benchmarks.torch_networks import NETWORKS, Backbone, TorchSSRNet, copy_weights
from ldl_jax.labels import AGE
from ldl_jax.run.config import Config
from ldl_jax.train.optimizers import OptimizerConfig
from ldl_jax.train.state import Weights


class Cen(nn.Module):
    """Puts CEN's two heads on a backbone, with its first loss (Eq. 14) at λ = 4."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        units = {"logits": AGE.size, "score": 1}
        self.head = nn.ModuleDict({name: nn.Linear(backbone.width, n) for name, n in units.items()})

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps images [B, 3, H, W] to logits [B, K] and scores [B]."""
        features = self.backbone(images)
        return self.head["logits"](features), self.head["score"](features)[:, 0]

    def loss(self, outputs: tuple[torch.Tensor, torch.Tensor], ages: torch.Tensor) -> torch.Tensor:
        """Returns the batch's mean loss for whole ages [B]."""
        logits, score = outputs
        regression = (score.float() - ages / AGE.high).abs().mean()
        return functional.cross_entropy(logits.float(), ages.long()) + 4.0 * regression


class DldlV2(nn.Module):
    """Puts DLDL-v2's head on a backbone, with its loss (Eq. 12) at σ = 2 and λ = 1."""

    values: torch.Tensor

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.ModuleDict({"logits": nn.Linear(backbone.width, AGE.size)})
        self.register_buffer("values", torch.tensor(AGE.values), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps images [B, 3, H, W] to logits [B, K]."""
        return self.head["logits"](self.backbone(images))

    def loss(self, logits: torch.Tensor, ages: torch.Tensor) -> torch.Tensor:
        """Returns the batch's mean loss for ages [B]."""
        target = (-0.5 * ((self.values - ages[:, None]) / 2.0).square()).softmax(-1)
        log_probs = logits.float().log_softmax(-1)
        divergence = functional.kl_div(log_probs, target, reduction="batchmean")
        return divergence + functional.l1_loss(log_probs.exp() @ self.values, ages)


class Ssr(nn.Module):
    """Puts the stages' head on SSR-Net, with the mean absolute error."""

    def __init__(self, backbone: TorchSSRNet) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.ModuleDict()
        for k, bins in enumerate(backbone.stages, start=1):
            for name in ("probs", "offsets"):
                self.head[f"{name}{k}"] = nn.Linear(backbone.widths[f"stage{k}"], bins)
            self.head[f"range{k}"] = nn.Linear(backbone.widths[f"range{k}"], 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps images [B, 3, size, size] to ages [B]."""
        features = self.backbone(images)
        value: torch.Tensor | float = 0.0
        width: torch.Tensor | float = float(AGE.size)  # V for the ages 0 to 100, as in the library
        for k, bins in enumerate(self.backbone.stages, start=1):
            stage = features[f"stage{k}"]
            p = functional.relu(self.head[f"probs{k}"](stage).float())
            eta = torch.tanh(self.head[f"offsets{k}"](stage).float())
            delta = torch.tanh(self.head[f"range{k}"](features[f"range{k}"])[:, 0].float())
            width = width / (bins * (1.0 + delta).clamp(min=1e-3))
            index = torch.arange(bins, device=p.device)
            value = value + width * (p * (index + eta)).sum(-1)
        return torch.as_tensor(value)

    def loss(self, value: torch.Tensor, ages: torch.Tensor) -> torch.Tensor:
        """Returns the batch's mean loss for ages [B]."""
        return functional.l1_loss(value, ages)


Method = Cen | DldlV2 | Ssr
METHODS: dict[str, Callable[..., Method]] = {"cen": Cen, "dldl_v2": DldlV2, "ssr": Ssr}


def network_of(config: Config) -> Method:
    """Makes the network of a config with its method's head."""
    return METHODS[config.method.name](NETWORKS[config.model.name](config.data.size))


def optimizer_of(config: OptimizerConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Makes PyTorch's optimizer of that name, at a constant rate."""
    rate, decay = config.learning_rate, config.weight_decay
    if config.name == "sgd":
        return torch.optim.SGD(network.parameters(), rate, config.momentum, weight_decay=decay)
    betas = (config.beta1, config.beta2)
    return torch.optim.Adam(network.parameters(), rate, betas, config.epsilon, decay)


def runs(config: Config, weights: Weights, device: str) -> dict[str, Callable[[int], None]]:
    """Returns "train" and "infer", which each take a number of steps on one ready batch.

    They use channels last, bfloat16 by autocast, and compile on CUDA. Inference has no gradients.
    Training starts from the library's `weights`, which must fit.
    """
    batch, size = config.batch_size, config.data.size
    network = network_of(config)
    copy_weights(network, weights.params, weights.model_state)
    network.to(device=device, memory_format=torch.channels_last)
    optimizer = optimizer_of(config.optimizer, network)
    images = torch.randn(batch, 3, size, size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    ages = torch.randint(AGE.size, (batch,), device=device).float()
    forward = network
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True  # as JAX does by default
        torch.backends.cudnn.benchmark = True
        forward = torch.compile(network)

    def autocast() -> torch.autocast:
        dtype = config.model.dtype
        return torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")

    def train(steps: int) -> None:
        network.train()
        for _ in range(steps):
            with autocast():
                outputs = forward(images)
            loss = network.loss(outputs, ages)
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
    """Measures the FLOP/s of one large product of square matrices."""
    a = torch.ones(side, side, device=device, dtype=getattr(torch, dtype))

    def product() -> None:
        a @ a
        _wait(device)

    return 2 * side**3 / roofline.best(product)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
