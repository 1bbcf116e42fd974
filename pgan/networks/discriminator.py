"""The discriminator: images and labels to logits, at any level of growth, with gradients in the open."""

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


def _apply_conv(conv: Conv, x: Tensor) -> tuple[Tensor, Adjoint]:
    """Compute the leaky ReLU of a convolution of `x`; return it with its adjoint at `x`."""
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
        # One entry and one halving per level, then the layers of the base, which are always in use.
        self.from_image = nn.ModuleList(Conv(shape.channels * pack, m, size=1) for m in maps)
        self.blocks = nn.ModuleList(DiscriminatorBlock(b, a) for a, b in zip(maps, maps[1:], strict=False))
        self.same = Conv(maps[0] + 1, maps[0])
        self.dense = Dense(maps[0] * shape.base_height * shape.base_width, shape.dense_size)
        self.out = Dense(shape.dense_size, 1, gain=1.0)
        # Each image of a pack has its own table, else the pack's labels could be swapped unseen.
        tables = pack if shape.factor_sizes else 0
        self.embeddings = nn.ModuleList(LabelEmbedding(shape.factor_sizes, shape.dense_size) for _ in range(tables))

    def forward(
        self,
        images: Tensor,
        labels: Tensor | None,
        level: int,
        alpha: Tensor | float | None = None,
        *,
        batches: int = 1,
    ) -> Tensor:
        """Score images.

        Parameters
        ----------
        images : (N, C, h, w) float32
            Standardised images of `level`.
        labels : (N, F) int64, or None
            Their labels; None where images have none.
        level : int
            Level of growth.
        alpha : 0-dim float32 or float, optional
            Weight of the newest block while it fades in; None is 1 without its cost.
        batches : int
            How many batches of the same size stand one after the other; each is scored by itself.

        Returns
        -------
        (N / pack,) float32
            Logits: above 0 for what D takes for real.
        """
        x, _ = self._features(images, level, alpha)
        return self._score(x, labels, batches)

    def with_gradients(
        self,
        images: Tensor,
        labels: Tensor | None,
        level: int,
        alpha: Tensor | float | None = None,
        *,
        batches: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """Score images, and differentiate the logits by them; both can be differentiated by the weights.

        The convolutions are taken backwards by their adjoints, in the open, so that what is left is to differentiate
        once. Differentiating twice takes convolutions whose kernels are as large as the images.

        Parameters
        ----------
        images, labels, level, alpha, batches
            See `forward`.

        Returns
        -------
        logits : (N / pack,) float32
            As of `forward`.
        gradients : (N, C, h, w)
            d sum of logits / d images.
        """
        x, adjoint = self._features(images, level, alpha)

        def total(x: Tensor) -> tuple[Tensor, Tensor]:
            logits = self._score(x, labels, batches)
            return logits.sum(), logits

        # The layers of the base by automatic differentiation, the convolutions before them by their adjoints.
        gradients, logits = torch.func.grad(total, has_aux=True)(x)
        return logits, adjoint(gradients).reshape(images.shape)

    def _features(self, images: Tensor, level: int, alpha: Tensor | float | None) -> tuple[Tensor, Adjoint]:
        """Take images down to the base; return the features [N / pack, maps, h, w] and the adjoint of the way."""
        # A pack is one image of as many times the channels.
        images = images.reshape(len(images) // self.shape.pack, -1, *images.shape[2:])
        images = images.to(self.precision or images.dtype, memory_format=torch.channels_last)
        # Halve from the newest block down to the base.
        x, from_image = _apply_conv(self.from_image[level], images)
        adjoints = [from_image]
        fading = level > 0 and alpha is not None
        for k in range(level - 1, -1, -1):
            for conv in (self.blocks[k].same, self.blocks[k].down):
                x, back = _apply_conv(conv, x)
                adjoints.append(back)
            # Fade in: mix the newest block with the way around it, which halves the images instead.
            if fading and k == level - 1:
                alpha = torch.as_tensor(alpha, dtype=x.dtype, device=x.device)
                old, from_small = _apply_conv(self.from_image[k], downsample(images))
                x = torch.lerp(old, x, alpha)
        newest = 3 if level else 1  # layers that the fade goes around

        def adjoint(gradients: Tensor) -> Tensor:
            # Back to the newest block, through it, and around it where it fades in.
            for back in reversed(adjoints[newest:]):
                gradients = back(gradients)
            sharp = gradients * alpha if fading else gradients
            for back in reversed(adjoints[:newest]):
                sharp = back(sharp)
            return sharp + upsample(from_small(gradients * (1 - alpha))) / 4 if fading else sharp

        return x, adjoint

    def _score(self, x: Tensor, labels: Tensor | None, batches: int) -> Tensor:
        """Compute the logits [N / pack] of what reaches the base."""
        # Minibatch stddev: one more map for the last convolution.
        deviation = minibatch_stddev(x, self.shape.stddev_group, batches=batches).to(x.dtype)
        kernel = self.same.kernel(x.dtype)
        # Its map has one value per image, so that what it adds is the same pattern for all.
        pattern = conv_same(torch.ones_like(x[:1, :1]), kernel[:, -1:], None)
        x = conv_same(x, kernel[:, :-1], self.same.bias.to(x.dtype)) + deviation[:, None, None, None] * pattern
        # Dense layers, in fp32.
        x = F.leaky_relu(x, SLOPE).to(self.dense.weight.dtype)
        features = F.leaky_relu(self.dense(x.flatten(1)), SLOPE)
        logits = self.out(features)[:, 0]
        if not self.embeddings:
            return logits
        # Labels by projection (Miyato & Koyama 2018): do the features point where the labels do?
        packed = labels.reshape(len(features), self.shape.pack, -1)
        wanted = sum(table(packed[:, k]) for k, table in enumerate(self.embeddings))
        return logits + (features * wanted).sum(1) / sqrt(features.shape[1])
