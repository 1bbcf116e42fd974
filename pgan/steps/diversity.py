"""How varied fakes are beside reals: collapse seen early, from the batches of training themselves."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Share of the reals' spread below which fakes are taken for collapsed. Set by hand, not swept.
COLLAPSED = 0.5
MOST_IMAGES = 64  # of a batch; set by hand: the pairs of 64 images are 2,016, enough for a mean
MOST_PIXELS = 8  # of a side; set by hand: small enough to be cheap, large enough to tell sparse pictures apart


def measure_spreads(reals: Tensor, fakes: Tensor) -> tuple[Tensor, Tensor]:
    """Measure the mean distance between two reals and between two fakes of a batch [N, C, h, w], each 0-dim.

    Images are pooled to at most 8 pixels a side first, so that speckle does not pass for variety. A distance between
    fakes counts at most as twice the mean one between reals: no outlier hides that the others are all alike.
    """
    real, fake = _measure_distances(reals), _measure_distances(fakes)
    mean = real.mean()
    return mean, torch.minimum(fake, 2 * mean).mean()


def _measure_distances(images: Tensor) -> Tensor:
    """Measure the Euclidean distances of all pairs, [N (N - 1) / 2]."""
    # Pool, so that noise of single pixels averages out.
    images = images[:MOST_IMAGES].float()
    stride = max(1, min(images.shape[2:]) // MOST_PIXELS)
    flat = F.avg_pool2d(images, stride).flatten(1)
    # |a - b|² = |a|² + |b|² - 2ab for all pairs; cdist and pdist have kernels that do not compile.
    first, second = torch.triu_indices(len(flat), len(flat), 1, device=flat.device)
    square = flat.square().sum(1)
    return (square[first] + square[second] - 2 * (flat @ flat.T)[first, second]).clamp_min(0).sqrt()
