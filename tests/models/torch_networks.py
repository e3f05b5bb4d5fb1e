"""PyTorch modules whose state dicts have the names and shapes of the layouts that are imported."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional


def shaken(network, seed=0):
    """The network with no scale, variance, bias or mean left at 1 or 0, in inference."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, x in network.state_dict().items():
            if x.ndim > 1:
                fan_in = x[0].numel() if x.ndim != 3 else 1
                x.copy_(torch.randn(x.shape, generator=generator) * (2 / fan_in) ** 0.5)
            elif name.endswith(("bias", "mean")):
                x.copy_(torch.randn(x.shape, generator=generator) * 0.1)
            elif x.is_floating_point():
                x.copy_(torch.rand(x.shape, generator=generator) + 0.5)
    return network.eval()


class Block(nn.Module):
    """torchvision's BasicBlock, or with four times the width its Bottleneck."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        plan = [(inputs, width, 3, stride), (width, outputs, 3, 1)]
        if bottleneck:
            plan = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        for i, (a, b, size, step) in enumerate(plan, start=1):
            setattr(self, f"conv{i}", nn.Conv2d(a, b, size, step, size // 2, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(b))
        self.count = len(plan)
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = functional.relu(y) if i < self.count else y
        return functional.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet(nn.Module):
    def __init__(self, blocks, bottleneck=False, labels=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, count in enumerate(blocks):
            layers = []
            for place in range(count):
                stride = 2 if stage and not place else 1
                layers.append(Block(inputs, 64 * 2**stage, stride, bottleneck))
                inputs = 64 * 2**stage * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(inputs, labels)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean(dim=(2, 3)))


def vgg_features():
    layers, width = [], 3
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(width, channels, 3, 1, 1), nn.ReLU()]
            width = channels
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


class TorchvisionVGG16(nn.Module):
    def __init__(self, cells, hidden, labels=10):
        super().__init__()
        self.features = vgg_features()
        self.classifier = nn.Sequential(
            nn.Linear(512 * cells, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, labels),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class TimmVGG16(nn.Module):
    def __init__(self, side, hidden, labels=10):
        super().__init__()
        self.features = vgg_features()
        self.pre_logits = nn.ModuleDict(
            {"fc1": nn.Conv2d(512, hidden, side), "fc2": nn.Conv2d(hidden, hidden, 1)}
        )
        self.head = nn.ModuleDict({"fc": nn.Linear(hidden, labels)})

    def forward(self, x):
        x = functional.relu(self.pre_logits["fc1"](self.features(x)))
        x = functional.relu(self.pre_logits["fc2"](x))
        return self.head["fc"](x.mean(dim=(2, 3)))


class TimmBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )

    def forward(self, x):
        b, n, d = x.shape
        qkv = self.attn["qkv"](self.norm1(x)).reshape(b, n, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.attn["proj"](mixed.transpose(1, 2).reshape(b, n, d))
        return x + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))


class TimmViT(nn.Module):
    def __init__(self, size, depth, width, heads, labels=10):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (size // 16) ** 2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, 16, 16)})
        self.blocks = nn.Sequential(*(TimmBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, labels)

    def forward(self, x):
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


class TorchvisionEncoderBlock(nn.Module):
    def __init__(self, width, heads, names):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, eps=1e-6)
        layers = (nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        names = (names[0], "gelu", names[1])
        self.mlp = nn.Sequential(OrderedDict(zip(names, layers, strict=True)))

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class TorchvisionViT(nn.Module):
    def __init__(self, size, depth, width, heads, labels=10, names=("0", "3")):
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.conv_proj = nn.Conv2d(3, width, 16, 16)
        self.encoder = nn.Module()
        self.encoder.pos_embedding = nn.Parameter(torch.zeros(1, 1 + (size // 16) ** 2, width))
        blocks = {
            f"encoder_layer_{i}": TorchvisionEncoderBlock(width, heads, names) for i in range(depth)
        }
        self.encoder.layers = nn.Sequential(OrderedDict(blocks))
        self.encoder.ln = nn.LayerNorm(width, eps=1e-6)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(width, labels)))

    def forward(self, x):
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)
        x = self.encoder.layers(x + self.encoder.pos_embedding)
        return self.heads(self.encoder.ln(x)[:, 0])


class SSRNet(nn.Module):
    """The port's names; its forward ends before the activations of the head."""

    def __init__(self, bins=3):
        super().__init__()
        for stream, width, activation in ((1, 32, nn.ReLU), (2, 16, nn.Tanh)):

            def block(inputs, width=width, activation=activation):
                return [nn.Conv2d(inputs, width, 3, 1, 1), nn.BatchNorm2d(width), activation()]

            pool = nn.AvgPool2d if stream == 1 else nn.MaxPool2d
            name = f"stream{stream}_stage"
            setattr(self, f"{name}3", nn.Sequential(*block(3), pool(2)))
            setattr(self, f"{name}2", nn.Sequential(*block(width), pool(2)))
            setattr(self, f"{name}1", nn.Sequential(*block(width), pool(2), *block(width)))
            for stage, pooled in ((1, 1), (2, 4), (3, 8)):
                name = f"funsion_block_stream{stream}_stage_{stage}"
                reduce = nn.Sequential(nn.Conv2d(width, 10, 1), nn.ReLU(), pool(pooled))
                setattr(self, f"{name}_before_PB", reduce)
                cells = 640 if stage == 1 else 160
                dense = nn.Sequential(nn.Dropout(0.2), nn.Linear(cells, bins), nn.ReLU())
                setattr(self, f"{name}_prediction_block", dense)
        for stage in (1, 2, 3):
            cells = 640 if stage == 1 else 160
            dense = nn.Sequential(nn.Linear(bins, 2 * bins), nn.ReLU())
            setattr(self, f"stage{stage}_FC_after_PB", dense)
            setattr(self, f"stage{stage}_prob", nn.Sequential(nn.Linear(2 * bins, bins)))
            offsets = nn.Sequential(nn.Linear(2 * bins, bins))
            setattr(self, f"stage{stage}_index_offsets", offsets)
            setattr(self, f"stage{stage}_delta_k", nn.Sequential(nn.Linear(cells, 1)))

    def forward(self, images):
        parts = {}
        for stream in (1, 2):
            x = images
            for stage in (3, 2, 1):
                x = getattr(self, f"stream{stream}_stage{stage}")(x)
                name = f"funsion_block_stream{stream}_stage_{stage}"
                flat = getattr(self, f"{name}_before_PB")(x).flatten(1)
                parts[stream, stage] = flat, getattr(self, f"{name}_prediction_block")(flat)
        outputs = {}
        for stage in (1, 2, 3):
            (x, x_bins), (s, s_bins) = parts[1, stage], parts[2, stage]
            h = getattr(self, f"stage{stage}_FC_after_PB")(x_bins * s_bins)
            outputs[f"probs{stage}"] = getattr(self, f"stage{stage}_prob")(h)
            outputs[f"offsets{stage}"] = getattr(self, f"stage{stage}_index_offsets")(h)
            outputs[f"range{stage}"] = getattr(self, f"stage{stage}_delta_k")(x * s)[:, 0]
        return outputs


class CLIPBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width)
        layers = {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
        self.mlp = nn.ModuleDict(layers)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        y = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](y * torch.sigmoid(1.702 * y))


class CLIPTower(nn.Module):
    """CLIP's visual tower; its forward leaves the projection out."""

    def __init__(self, size, depth, width, heads):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 16, 16, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((size // 16) ** 2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(*(CLIPBlock(width, heads) for _ in range(depth)))
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, 8))

    def forward(self, x):
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1)
        x = self.transformer.resblocks(self.ln_pre(x + self.positional_embedding))
        return self.ln_post(x[:, 0])


class CLIP(nn.Module):
    """A file's towers: the visual one, and some of the other's names."""

    def __init__(self, **options):
        super().__init__()
        self.visual = CLIPTower(**options)
        self.positional_embedding = nn.Parameter(torch.zeros(7, 8))
        self.ln_final = nn.LayerNorm(8)
        self.logit_scale = nn.Parameter(torch.zeros([]))

    def forward(self, x):
        return self.visual(x)
