"""G and D of a progressive GAN: convolutions with equalised learning rate that grow by doubling and fade in."""

from collections.abc import Callable, Sequence
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
    """Scale the vector over dimension 1 to a mean square of one (Karras et al. 2018, section 4.2), summed in fp32."""
    # the sum, not the mean: what the mean sends back has lost the channels_last order, at twice the time on a CPU
    total = x.to(torch.promote_types(x.dtype, torch.float32)).square().sum(1, keepdim=True)
    return x * torch.rsqrt(total / x.shape[1] + 1e-8).to(x.dtype)


def minibatch_stddev(x: Tensor, group: int, *, parts: int = 1) -> Tensor:
    """The mean standard deviation in each image's group, fp32 [N] (Karras et al. 2018, section 3).

    Groups are strided: with N images and M = N / group groups, images n, n + M, n + 2M, … stand together; the variance
    is the biased one. A batch that does not divide is one group. `parts` batches of the same size may stand one after
    the other: no group has images of two.
    """
    n = len(x) // parts
    size = group if n % group == 0 else n
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    grouped = x.reshape(parts, size, n // size, *x.shape[1:])
    # not var(1), which is ten times slower on a CPU
    deviation = ((grouped - grouped.mean(1, keepdim=True)).square().mean(1) + 1e-8).sqrt()  # [parts, M, C, H, W]
    return deviation.mean((2, 3, 4)).repeat(1, size).flatten()


def spread_matrix() -> Tensor:
    """What `spread_kernel` multiplies with, [9, 16]."""
    shifts = (torch.eye(3, 4) + torch.eye(3, 5)[:, :-1].roll(1, 1)) / 2
    return torch.kron(shifts, shifts)


def spread_kernel(kernel: Tensor, matrix: Tensor) -> Tensor:
    """The 4 × 4 kernel that averages the four shifts of a 3 × 3 one: [O, I, 3, 3] → [O, I, 4, 4]."""
    return (kernel.reshape(-1, 9) @ matrix).reshape(*kernel.shape[:2], 4, 4)  # faster than slices and sums on a CPU


def conv_up(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """`upsample` and a 3 × 3 convolution in one, exactly, at 4/9 of the cost; `kernel` is the spread one."""
    return F.conv_transpose2d(x, 4 * kernel.flip(2, 3).transpose(0, 1), bias, stride=2, padding=1)


def conv_down(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """A 3 × 3 convolution and `downsample` in one, exactly, at 4/9 of the cost; `kernel` is the spread one."""
    return F.conv2d(x, kernel, bias, stride=2, padding=1)


def conv_down_adjoint(y: Tensor, kernel: Tensor) -> Tensor:
    """The transpose of `conv_down`."""
    return F.conv_transpose2d(y, kernel, stride=2, padding=1)


def conv_same(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution that keeps the size."""
    return F.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2)


def conv_same_adjoint(y: Tensor, kernel: Tensor) -> Tensor:
    """The transpose of `conv_same`."""
    return F.conv_transpose2d(y, kernel, padding=kernel.shape[-1] // 2)


class Conv(nn.Module):
    """A convolution with equalised learning rate: N(0, 1) weights times gain / √fan-in at run time; bias unscaled.

    Weights are scaled in fp32, and convolve in the type of the images.
    """

    convolve, adjoint = staticmethod(conv_same), staticmethod(conv_same_adjoint)

    def __init__(self, inputs: int, outputs: int, *, size: int = 3, gain: float = LRELU_GAIN):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / sqrt(inputs * size * size)

    def kernel(self, dtype: torch.dtype) -> Tensor:
        """The kernel that runs over the image."""
        return (self.weight * self.scale).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.kernel(x.dtype), self.bias.to(x.dtype))


class ConvUp(Conv):
    """Doubles both sides, then convolves."""

    convolve = staticmethod(conv_up)

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.register_buffer("spread", spread_matrix(), persistent=False)

    def kernel(self, dtype: torch.dtype) -> Tensor:
        return spread_kernel(self.weight * self.scale, self.spread).to(dtype)


class ConvDown(ConvUp):
    """Convolves, then halves both sides."""

    convolve, adjoint = staticmethod(conv_down), staticmethod(conv_down_adjoint)


class Dense(nn.Module):
    """A dense layer with equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, *, gain: float = LRELU_GAIN):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x * self.scale, self.weight, self.bias)  # there are far more weights than inputs


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
        self.up = ConvUp(inputs, outputs)
        self.same = Conv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = pixel_norm(F.leaky_relu(self.up(x), SLOPE))
        return pixel_norm(F.leaky_relu(self.same(x), SLOPE))


class Generator(nn.Module):
    """Latents and labels → images, in standardised levels (see `pgan.networks.pyramid`), at any level of growth."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.shape = shape
        self.precision: torch.dtype | None = None  # of the convolutions; None: as the latents
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
        x = x.to(self.precision or x.dtype, memory_format=torch.channels_last)
        x = pixel_norm(F.leaky_relu(x, SLOPE))
        x = older = pixel_norm(F.leaky_relu(self.same(x), SLOPE))
        for block in self.blocks[:level]:
            x, older = block(x), x
        images = self.to_image[level](x.to(z.dtype))
        if alpha is None or level == 0:
            return images
        return torch.lerp(upsample(self.to_image[level - 1](older.to(z.dtype))), images, alpha)


class DiscriminatorBlock(nn.Module):
    """One halving of D."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.same = Conv(inputs, inputs)
        self.down = ConvDown(inputs, outputs)


Adjoint = Callable[[Tensor], Tensor]  # gradients by the output of some layers → gradients by their input


def _lrelu_of(conv: Conv, x: Tensor) -> tuple[Tensor, Adjoint]:
    """(leaky ReLU of a convolution of `x`, its adjoint there)."""
    kernel = conv.kernel(x.dtype)
    y = F.leaky_relu(conv.convolve(x, kernel, conv.bias.to(x.dtype)), SLOPE)
    slopes = y.detach()  # its signs say which slope; they have no derivative

    def adjoint(gradients: Tensor) -> Tensor:
        return conv.adjoint(torch.ops.aten.leaky_relu_backward(gradients, slopes, SLOPE, True), kernel)

    return y, adjoint


class Discriminator(nn.Module):
    """Images and labels → logits; labels by projection (Miyato & Koyama 2018), `pack` images at a time (PacGAN)."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.shape = shape
        self.precision: torch.dtype | None = None  # of the convolutions; None: as the images
        maps, pack = shape.maps, shape.pack
        self.from_image = nn.ModuleList(Conv(shape.channels * pack, m, size=1) for m in maps)
        self.blocks = nn.ModuleList(DiscriminatorBlock(b, a) for a, b in zip(maps, maps[1:], strict=False))
        self.same = Conv(maps[0] + 1, maps[0])
        self.dense = Dense(maps[0] * shape.base_height * shape.base_width, shape.dense_size)
        self.out = Dense(shape.dense_size, 1, gain=1.0)
        # each image of a pack has its own table, else the pack's labels could be swapped unseen
        tables = pack if shape.factor_sizes else 0
        self.embeddings = nn.ModuleList(LabelEmbedding(shape.factor_sizes, shape.dense_size) for _ in range(tables))

    def forward(
        self,
        images: Tensor,
        labels: Tensor | None,
        level: int,
        alpha: Tensor | float | None = None,
        *,
        parts: int = 1,
    ) -> Tensor:
        """Logits [N / pack] of images [N, C, h, w]; `alpha` as in `Generator`, `parts` as in `minibatch_stddev`."""
        x, _ = self._features(images, level, alpha)
        return self._judge(x, labels, parts)

    def with_gradients(
        self,
        images: Tensor,
        labels: Tensor | None,
        level: int,
        alpha: Tensor | float | None = None,
        *,
        parts: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """(logits as of `forward`, d sum of logits / d images [N, C, h, w]), to be differentiated by the weights.

        The convolutions are taken backwards by their adjoints, in the open, so that what is left is to differentiate
        once. Differentiating twice takes convolutions whose kernels are as large as the images.
        """
        x, adjoint = self._features(images, level, alpha)

        def total(x: Tensor) -> tuple[Tensor, Tensor]:
            logits = self._judge(x, labels, parts)
            return logits.sum(), logits

        gradients, logits = torch.func.grad(total, has_aux=True)(x)
        return logits, adjoint(gradients).reshape(images.shape)

    def _features(self, images: Tensor, level: int, alpha: Tensor | float | None) -> tuple[Tensor, Adjoint]:
        """(what reaches the base [N / pack, maps, h, w], the adjoint of how it got there)."""
        images = images.reshape(len(images) // self.shape.pack, -1, *images.shape[2:])
        images = images.to(self.precision or images.dtype, memory_format=torch.channels_last)
        x, from_image = _lrelu_of(self.from_image[level], images)
        adjoints = [from_image]
        fading = level > 0 and alpha is not None
        for k in range(level - 1, -1, -1):
            for conv in (self.blocks[k].same, self.blocks[k].down):
                x, back = _lrelu_of(conv, x)
                adjoints.append(back)
            if fading and k == level - 1:
                alpha = torch.as_tensor(alpha, dtype=x.dtype, device=x.device)
                old, from_small = _lrelu_of(self.from_image[k], downsample(images))
                x = torch.lerp(old, x, alpha)
        newest = 3 if level else 1  # layers that the fade goes around

        def adjoint(gradients: Tensor) -> Tensor:
            for back in reversed(adjoints[newest:]):
                gradients = back(gradients)
            sharp = gradients * alpha if fading else gradients
            for back in reversed(adjoints[:newest]):
                sharp = back(sharp)
            return sharp + upsample(from_small(gradients * (1 - alpha))) / 4 if fading else sharp

        return x, adjoint

    def _judge(self, x: Tensor, labels: Tensor | None, parts: int) -> Tensor:
        deviation = minibatch_stddev(x, self.shape.stddev_group, parts=parts).to(x.dtype)
        kernel = self.same.kernel(x.dtype)
        # the deviation is one more map, of one value per image: what it adds is the same pattern for all
        pattern = conv_same(torch.ones_like(x[:1, :1]), kernel[:, -1:], None)
        x = conv_same(x, kernel[:, :-1], self.same.bias.to(x.dtype)) + deviation[:, None, None, None] * pattern
        x = F.leaky_relu(x, SLOPE).to(self.dense.weight.dtype)
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
