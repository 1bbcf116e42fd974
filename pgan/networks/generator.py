"""The generator: latents and labels to images, at any level of growth."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgan.networks.layers import LRELU_GAIN, SLOPE, Conv, ConvUp, Dense, LabelEmbedding, pixel_norm, upsample
from pgan.networks.shape import NetworkShape


class GeneratorBlock(nn.Module):
    """One doubling of G."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.up = ConvUp(inputs, outputs)
        self.same = Conv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Turn features [N, inputs, h, w] into features [N, outputs, 2h, 2w]."""
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
        # The first picture. Gain √2 / 4: as if fan-in were that of the 4 × 4 pixels each input spreads over
        self.dense = Dense(sizes[-1], maps[0] * shape.base_height * shape.base_width, gain=LRELU_GAIN / 4)
        self.same = Conv(maps[0], maps[0])
        # One doubling and one exit per level.
        self.blocks = nn.ModuleList(GeneratorBlock(a, b) for a, b in zip(maps, maps[1:], strict=False))
        self.to_image = nn.ModuleList(Conv(m, shape.channels, size=1, gain=1.0) for m in maps)

    def forward(self, z: Tensor, labels: Tensor | None, level: int, alpha: Tensor | float | None = None) -> Tensor:
        """Make images.

        Parameters
        ----------
        z : (N, latent_size) float32
            Latents, of N(0, 1).
        labels : (N, F) int64, or None
            Labels; None where images have none.
        level : int
            Level of growth.
        alpha : 0-dim float32 or float, optional
            Weight of the newest block while it fades in; None is 1 without its cost.

        Returns
        -------
        (N, C, h, w) float32
            Standardised images of `level`.
        """
        # Latents and labels, each normalised
        x = pixel_norm(z)
        if self.embedding is not None:
            x = torch.cat([x, pixel_norm(self.embedding(labels))], 1)
        for layer in self.hidden:
            x = pixel_norm(F.leaky_relu(layer(x), SLOPE))
        # The first picture, at the base
        x = self.dense(x).reshape(len(z), -1, self.shape.base_height, self.shape.base_width)
        x = x.to(self.precision or x.dtype, memory_format=torch.channels_last)
        x = pixel_norm(F.leaky_relu(x, SLOPE))
        x = older = pixel_norm(F.leaky_relu(self.same(x), SLOPE))
        # Double up to the level
        for block in self.blocks[:level]:
            x, older = block(x), x
        images = self.to_image[level](x.to(z.dtype))
        if alpha is None or level == 0:
            return images
        # Fade in: mix with the picture of the level before, enlarged
        return torch.lerp(upsample(self.to_image[level - 1](older.to(z.dtype))), images, alpha)
