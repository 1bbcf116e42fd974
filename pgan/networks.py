"""G and D of a progressive GAN: convolutions with equalised learning rate that grow by doubling and fade in."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgan.config import TrainConfig, base_shape

LRELU_GAIN = sqrt(2)  # He et al. 2015
SLOPE = 0.2


@dataclass(frozen=True, kw_only=True)
class NetworkShape:
    """What the two networks are built from; all of it integers, so that a snapshot can carry it."""

    channels: int
    base_height: int
    base_width: int
    maps: tuple[int, ...]  # feature maps at each level
    latent_size: int
    label_size: int
    dense_size: int
    dense_layers: int
    factor_sizes: tuple[int, ...]  # values of each label factor; empty: unconditional
    stddev_group: int
    pack: int

    @classmethod
    def of(cls, config: TrainConfig, image_shape: Sequence[int], *, factor_sizes: Sequence[int]) -> "NetworkShape":
        """The networks of a config for images [C, H, W]."""
        channels, height, width = image_shape
        base_height, base_width, doublings = base_shape(height, width, start_resolution=config.start_resolution)
        # at least 8: below, a layer is too narrow to be worth its memory traffic
        maps = [
            max(8, min(config.max_maps, 2 * config.base_maps // (config.start_resolution * 2**level)))
            for level in range(doublings + 1)
        ]
        return cls(
            channels=channels,
            base_height=base_height,
            base_width=base_width,
            maps=tuple(maps),
            latent_size=config.latent_size,
            label_size=config.label_size,
            dense_size=config.dense_size,
            dense_layers=config.dense_layers,
            factor_sizes=tuple(factor_sizes),
            stddev_group=config.stddev_group,
            pack=config.pack,
        )

    @property
    def levels(self) -> int:
        """Resolutions, the base included."""
        return len(self.maps)

    def to_json(self) -> dict[str, Any]:
        """The shape as a JSON object."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "NetworkShape":
        """The inverse of `to_json`."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in value.items()})


def upsample(images: Tensor) -> Tensor:
    """Double both sides by repeating pixels: [N, C, H, W] → [N, C, 2H, 2W]."""
    return F.interpolate(images, scale_factor=2, mode="nearest")


def downsample(images: Tensor) -> Tensor:
    """Halve both sides by averaging 2 × 2 boxes: [N, C, H, W] → [N, C, H/2, W/2]."""
    return F.avg_pool2d(images, 2)


def pixel_norm(x: Tensor) -> Tensor:
    """Scale the vector over dimension 1 to a mean square of one (Karras et al. 2018, section 4.2)."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """One further map with the mean standard deviation of the image's group (Karras et al. 2018, section 3).

    Groups are strided: with N images and M = N / group groups, images n, n + M, n + 2M, … stand together; the variance
    is the biased one. A batch that does not divide is one group.
    """
    n, _, h, w = x.shape
    size = group if n % group == 0 else n
    grouped = x.float().reshape(size, n // size, *x.shape[1:])
    # not var(0), which is ten times slower on a CPU
    deviation = ((grouped - grouped.mean(0)).square().mean(0) + 1e-8).sqrt()  # [M, C, H, W]
    mean = deviation.mean((1, 2, 3))  # [M]
    return torch.cat([x, mean.repeat(size).reshape(n, 1, 1, 1).expand(n, 1, h, w).to(x.dtype)], 1)


def _spread(kernel: Tensor) -> Tensor:
    """The 4 × 4 kernel that sums the four shifts of a 3 × 3 one: [O, I, 3, 3] → [O, I, 4, 4]."""
    padded = F.pad(kernel, (1, 1, 1, 1))
    return padded[..., 1:, 1:] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., :-1, :-1]


def conv_up(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """`upsample` and a 3 × 3 convolution in one transposed convolution, exactly, at 4/9 of the cost."""
    return F.conv_transpose2d(x, _spread(kernel.flip(2, 3)).transpose(0, 1), bias, stride=2, padding=1)


def conv_down(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """A 3 × 3 convolution and `downsample` in one strided convolution, exactly, at 4/9 of the cost."""
    return F.conv2d(x, _spread(kernel) / 4, bias, stride=2, padding=1)


def conv_same(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """A convolution that keeps the size."""
    return F.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2)


class Conv(nn.Module):
    """A convolution with equalised learning rate: N(0, 1) weights times gain / √fan-in at run time; bias unscaled."""

    def __init__(self, inputs: int, outputs: int, *, size: int = 3, gain: float = LRELU_GAIN, convolve=conv_same):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / sqrt(inputs * size * size)
        self.convolve = convolve

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight * self.scale, self.bias)


class Dense(nn.Module):
    """A dense layer with equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, *, gain: float = LRELU_GAIN):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


class LabelEmbedding(nn.Module):
    """Labels [N, F] → vectors [N, size]: one learnt vector per value of each factor, summed over factors."""

    def __init__(self, factor_sizes: Sequence[int], size: int):
        super().__init__()
        starts = [sum(factor_sizes[:f]) for f in range(len(factor_sizes))]
        self.register_buffer("starts", torch.tensor(starts, dtype=torch.int64), persistent=False)
        self.weight = nn.Parameter(torch.randn(sum(factor_sizes), size))

    def forward(self, labels: Tensor) -> Tensor:
        vectors = F.embedding(labels.long() + self.starts, self.weight)  # [N, F, size]
        return vectors.sum(1) / sqrt(len(self.starts))


class GeneratorBlock(nn.Module):
    """One doubling of G."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.up = Conv(inputs, outputs, convolve=conv_up)
        self.same = Conv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = pixel_norm(F.leaky_relu(self.up(x), SLOPE))
        return pixel_norm(F.leaky_relu(self.same(x), SLOPE))


class Generator(nn.Module):
    """Latents and labels → images, in standardised levels (see `pgan.pyramid`), at any level of growth."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.shape = shape
        inputs = shape.latent_size + (shape.label_size if shape.factor_sizes else 0)
        maps = shape.maps
        self.embedding = LabelEmbedding(shape.factor_sizes, shape.label_size) if shape.factor_sizes else None
        sizes = [inputs, *[shape.dense_size] * shape.dense_layers]
        self.hidden = nn.ModuleList(Dense(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        # gain √2 / 4: as if fan-in were that of the 4 × 4 pixels each input spreads over
        self.dense = Dense(sizes[-1], maps[0] * shape.base_height * shape.base_width, gain=LRELU_GAIN / 4)
        self.same = Conv(maps[0], maps[0])
        self.blocks = nn.ModuleList(GeneratorBlock(a, b) for a, b in zip(maps, maps[1:], strict=False))
        self.to_image = nn.ModuleList(Conv(m, shape.channels, size=1, gain=1.0) for m in maps)

    def forward(self, z: Tensor, labels: Tensor | None, level: int, alpha: Tensor | float | None = None) -> Tensor:
        """Images [N, C, h, w] of `level`; `alpha` weighs the newest block, None is 1 without its cost."""
        x = pixel_norm(z)
        if self.embedding is not None:
            x = torch.cat([x, pixel_norm(self.embedding(labels))], 1)
        for layer in self.hidden:
            x = pixel_norm(F.leaky_relu(layer(x), SLOPE))
        x = self.dense(x).reshape(len(z), -1, self.shape.base_height, self.shape.base_width)
        x = x.contiguous(memory_format=torch.channels_last)
        x = pixel_norm(F.leaky_relu(x, SLOPE))
        x = older = pixel_norm(F.leaky_relu(self.same(x), SLOPE))
        for block in self.blocks[:level]:
            x, older = block(x), x
        images = self.to_image[level](x)
        if alpha is None or level == 0:
            return images
        return torch.lerp(upsample(self.to_image[level - 1](older)), images, alpha)


class DiscriminatorBlock(nn.Module):
    """One halving of D."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.same = Conv(inputs, inputs)
        self.down = Conv(inputs, outputs, convolve=conv_down)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.down(F.leaky_relu(self.same(x), SLOPE)), SLOPE)


class Discriminator(nn.Module):
    """Images and labels → logits; labels by projection (Miyato & Koyama 2018), `pack` images at a time (PacGAN)."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.shape = shape
        maps, pack = shape.maps, shape.pack
        self.from_image = nn.ModuleList(Conv(shape.channels * pack, m, size=1) for m in maps)
        self.blocks = nn.ModuleList(DiscriminatorBlock(b, a) for a, b in zip(maps, maps[1:], strict=False))
        self.same = Conv(maps[0] + 1, maps[0])
        self.dense = Dense(maps[0] * shape.base_height * shape.base_width, shape.dense_size)
        self.out = Dense(shape.dense_size, 1, gain=1.0)
        # each image of a pack has its own table, else the pack's labels could be swapped unseen
        tables = pack if shape.factor_sizes else 0
        self.embeddings = nn.ModuleList(LabelEmbedding(shape.factor_sizes, shape.dense_size) for _ in range(tables))

    def forward(self, images: Tensor, labels: Tensor | None, level: int, alpha: Tensor | float | None = None) -> Tensor:
        """Logits [N / pack] of images [N, C, h, w]; `alpha` as in `Generator.forward`."""
        images = images.reshape(len(images) // self.shape.pack, -1, *images.shape[2:])
        x = F.leaky_relu(self.from_image[level](images.contiguous(memory_format=torch.channels_last)), SLOPE)
        if level:
            x = self.blocks[level - 1](x)
            if alpha is not None:
                old = F.leaky_relu(self.from_image[level - 1](downsample(images)), SLOPE)
                x = torch.lerp(old, x, alpha)
        for block in reversed(self.blocks[: max(level - 1, 0)]):
            x = block(x)
        return self._judge(x, labels)

    def _judge(self, x: Tensor, labels: Tensor | None) -> Tensor:
        x = F.leaky_relu(self.same(minibatch_stddev(x, self.shape.stddev_group)), SLOPE)
        features = F.leaky_relu(self.dense(x.flatten(1)), SLOPE)
        logits = self.out(features)[:, 0]
        if not self.embeddings:
            return logits
        packed = labels.reshape(len(features), self.shape.pack, -1)
        wanted = sum(table(packed[:, k]) for k, table in enumerate(self.embeddings))
        return logits + (features * wanted).sum(1) / sqrt(features.shape[1])


def count_parameters(module: nn.Module) -> int:
    """Learnt numbers in a module."""
    return sum(parameter.numel() for parameter in module.parameters())
