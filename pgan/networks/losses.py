"""What D and G minimise, and the gradient penalties that keep D smooth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

WGAN_LAMBDA = 10.0
WGAN_DRIFT = 1e-3

Scores = tuple[Tensor, Tensor, Tensor]  # logits of reals, logits of fakes, penalty


class Critic(Protocol):
    """What a loss asks of D. Batches given together cost less than one by one; each is judged by itself."""

    def logits(self, *batches: Tensor) -> tuple[Tensor, ...]:
        """The logits of each batch [N, C, h, w]."""

    def logits_and_gradients(self, *batches: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The logits of each batch, and d sum of logits / d images of each, like the batch."""


def zero_centred(gradients: Tensor) -> Tensor:
    """Mean squared length of gradients [N, C, h, w] (Mescheder et al. 2018)."""
    return gradients.float().square().sum((1, 2, 3)).mean()


def one_centred(gradients: Tensor) -> Tensor:
    """Mean (length of the gradient − 1)² (Gulrajani et al. 2017)."""
    return ((gradients.float().square().sum((1, 2, 3)) + 1e-12).sqrt() - 1).square().mean()


def _score_with_r1(critic: Critic, reals: Tensor, fakes: Tensor, mix: Tensor | None) -> Scores:
    (real,), (gradients,) = critic.logits_and_gradients(reals)
    (fake,) = critic.logits(fakes)
    return real, fake, zero_centred(gradients)


def _score_with_r1_r2(critic: Critic, reals: Tensor, fakes: Tensor, mix: Tensor | None) -> Scores:
    (real, fake), (at_reals, at_fakes) = critic.logits_and_gradients(reals, fakes)
    return real, fake, zero_centred(at_reals) + zero_centred(at_fakes)


def _score_between(critic: Critic, reals: Tensor, fakes: Tensor, mix: Tensor | None) -> Scores:
    real, fake = critic.logits(reals, fakes)
    _, (gradients,) = critic.logits_and_gradients(torch.lerp(reals, fakes, mix))
    return real, fake, WGAN_LAMBDA * one_centred(gradients)


def _saturating_free_d(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean() + WGAN_DRIFT * real.square().mean()


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One adversarial game.

    `of_d` and `of_g` map logits of reals and fakes to a scalar; `score` maps (critic, reals, fakes, mix [N, 1, 1, 1])
    to both logits and the penalty, which counts `gamma / 2` times if `scaled` (and then lazily), else as it is at every
    step. G sees the reals only in a `relative` game.
    """

    of_d: Callable[[Tensor, Tensor], Tensor]
    of_g: Callable[[Tensor | None, Tensor], Tensor]
    score: Callable[[Critic, Tensor, Tensor, Tensor | None], Scores]
    scaled: bool = True
    relative: bool = False


LOSSES: Mapping[str, Loss] = {
    # Goodfellow et al. 2014, non-saturating, with R1
    "ns-r1": Loss(
        of_d=_saturating_free_d,
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
    # relativistic pairing with both zero-centred penalties (Huang et al. 2024, R3GAN)
    "rpgan-r1-r2": Loss(
        of_d=lambda real, fake: F.softplus(fake - real).mean(),
        of_g=lambda real, fake: F.softplus(real - fake).mean(),
        score=_score_with_r1_r2,
        relative=True,
    ),
}
