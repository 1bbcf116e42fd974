"""G and D of a progressive GAN: convolutions with equalised learning rate that grow by doubling and fade in."""

from collections.abc import Callable
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgan.networks.layers import (
    SLOPE,
    Conv,
    ConvDown,
    Dense,
    LabelEmbedding,
    conv_same,
    downsample,
    minibatch_stddev,
    upsample,
)
from pgan.networks.shape import NetworkShape


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
        return self._score(x, labels, parts)

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
            logits = self._score(x, labels, parts)
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

    def _score(self, x: Tensor, labels: Tensor | None, parts: int) -> Tensor:
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
