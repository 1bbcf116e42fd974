"""What D and G minimise, and the gradient penalties that keep D smooth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

# As published: Gulrajani et al. 2017 and Karras et al. 2018.
WGAN_LAMBDA = 10.0
WGAN_DRIFT = 1e-3

Scores = tuple[Tensor, Tensor, Tensor]  # logits of reals, logits of fakes, penalty


class Critic(Protocol):
    """What a loss asks of D. Batches given together cost less than one by one; each is scored by itself."""

    def logits(self, *batches: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of each batch [N, C, h, w]."""

    def logits_and_gradients(self, *batches: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the logits of each batch, and d sum of logits / d images of each, like the batch."""


def _penalise_length(gradients: Tensor) -> Tensor:
    """Return the mean squared length of gradients [N, C, h, w] (Mescheder et al. 2018)."""
    return gradients.float().square().sum((1, 2, 3)).mean()


def _penalise_other_than_1(gradients: Tensor) -> Tensor:
    """Return the mean (length of the gradient − 1)² (Gulrajani et al. 2017)."""
    return ((gradients.float().square().sum((1, 2, 3)) + 1e-12).sqrt() - 1).square().mean()


def _score_with_r1(critic: Critic, reals: Tensor, fakes: Tensor, mix: Tensor | None) -> Scores:
    """Score both batches, with the R1 penalty: gradients at reals (Mescheder et al. 2018)."""
    (real,), (gradients,) = critic.logits_and_gradients(reals)
    (fake,) = critic.logits(fakes)
    return real, fake, _penalise_length(gradients)


def _score_with_r1_r2(critic: Critic, reals: Tensor, fakes: Tensor, mix: Tensor | None) -> Scores:
    """Score both batches, with the penalties R1 and R2: gradients at reals and at fakes."""
    (real, fake), (at_reals, at_fakes) = critic.logits_and_gradients(reals, fakes)
    return real, fake, _penalise_length(at_reals) + _penalise_length(at_fakes)


def _score_between(critic: Critic, reals: Tensor, fakes: Tensor, mix: Tensor | None) -> Scores:
    """Score both batches, with the penalty of WGAN-GP: gradients between reals and fakes (Gulrajani et al. 2017)."""
    real, fake = critic.logits(reals, fakes)
    _, (gradients,) = critic.logits_and_gradients(torch.lerp(reals, fakes, mix))
    return real, fake, WGAN_LAMBDA * _penalise_other_than_1(gradients)


def _non_saturating_d(real: Tensor, fake: Tensor) -> Tensor:
    """Return the loss of D in non-saturating training (Goodfellow et al. 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """Return the loss of D in Wasserstein training, with a drift term that keeps logits near 0."""
    return fake.mean() - real.mean() + WGAN_DRIFT * real.square().mean()


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One adversarial loss.

    Attributes
    ----------
    of_d, of_g : callable
        (logits of reals, logits of fakes) → the loss of D or of G, 0-dim.
    score : callable
        (critic, reals, fakes, mix [N, 1, 1, 1]) → both logits, and the gradient penalty, 0-dim.
    scaled : bool
        Whether the penalty counts gamma / 2 times, and then lazily; else it counts as it is at every step.
    relative : bool
        Whether the loss is relativistic: only then G sees the logits of reals.
    """

    of_d: Callable[[Tensor, Tensor], Tensor]
    of_g: Callable[[Tensor | None, Tensor], Tensor]
    score: Callable[[Critic, Tensor, Tensor, Tensor | None], Scores]
    scaled: bool = True
    relative: bool = False


LOSSES: Mapping[str, Loss] = {
    # Goodfellow et al. 2014, non-saturating, with R1. Ahead in coverage (docs/benchmarks/training.md) and in the
    # ablation of docs/experiments.md, and so the default.
    "ns-r1": Loss(
        of_d=_non_saturating_d,
        of_g=lambda real, fake: F.softplus(-fake).mean(),
        score=_score_with_r1,
    ),
    # Gulrajani et al. 2017 with the drift term of Karras et al. 2018
    "wgan-gp": Loss(
        of_d=_wasserstein_d,
        of_g=lambda real, fake: -fake.mean(),
        score=_score_between,
        scaled=False,
    ),
    # Relativistic pairing with both zero-centred penalties (Huang et al. 2024, R3GAN)
    "rpgan-r1-r2": Loss(
        of_d=lambda real, fake: F.softplus(fake - real).mean(),
        of_g=lambda real, fake: F.softplus(real - fake).mean(),
        score=_score_with_r1_r2,
        relative=True,
    ),
}
