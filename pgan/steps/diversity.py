"""How varied fakes are beside reals: collapse seen early, from the batches of training themselves."""

import torch
import torch.nn.functional as F
from torch import Tensor

COLLAPSED = 0.5  # share of the reals' spread below which fakes are taken for collapsed
MOST_IMAGES = 64  # of a batch
MOST_PIXELS = 8  # of a side: small enough to be cheap, large enough to tell strokes apart


def measure_spreads(reals: Tensor, fakes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean distance between two reals and between two fakes of a batch [N, C, h, w], each a 0-dim tensor.

    Images are pooled to at most 8 pixels a side first, so that speckle does not pass for variety. A distance between
    fakes counts at most as twice the mean one between reals: no outlier hides that the others are all alike.
    """
    real, fake = _distances(reals), _distances(fakes)
    mean = real.mean()
    return mean, torch.minimum(fake, 2 * mean).mean()


def _distances(images: Tensor) -> Tensor:
    """Euclidean distances of all pairs, [N (N - 1) / 2]; not cdist or pdist, whose kernels do not compile."""
    images = images[:MOST_IMAGES].float()
    stride = max(1, min(images.shape[2:]) // MOST_PIXELS)
    flat = F.avg_pool2d(images, stride).flatten(1)
    first, second = torch.triu_indices(len(flat), len(flat), 1, device=flat.device)
    square = flat.square().sum(1)
    return (square[first] + square[second] - 2 * (flat @ flat.T)[first, second]).clamp_min(0).sqrt()
