"""What D and G minimise, and the gradient penalties that keep D smooth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Critic = Callable[[Tensor], Tensor]  # images [N, C, H, W] → logits

WGAN_LAMBDA = 10.0
WGAN_DRIFT = 1e-3


def input_gradients(critic: Critic, images: Tensor) -> Tensor:
    """d critic / d images, one image at a time, ready to be differentiated again; like `images`."""
    images = images.detach().requires_grad_(True)
    (gradients,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradients


def zero_centred_penalty(critic: Critic, images: Tensor) -> Tensor:
    """Mean squared length of the gradient at `images` (R1 at reals, R2 at fakes; Mescheder et al. 2018)."""
    return input_gradients(critic, images).square().sum((1, 2, 3)).mean()


def one_centred_penalty(critic: Critic, reals: Tensor, *, fakes: Tensor, mix: Tensor) -> Tensor:
    """WGAN-GP: mean (length of the gradient − 1)² between reals and fakes (Gulrajani et al. 2017); mix [N, 1, 1, 1]."""
    lengths = (input_gradients(critic, torch.lerp(reals, fakes, mix)).square().sum((1, 2, 3)) + 1e-12).sqrt()
    return (lengths - 1).square().mean()


def _saturating_free_d(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean() + WGAN_DRIFT * real.square().mean()


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One adversarial game.

    `of_d` and `of_g` map logits of reals and fakes to a scalar; `penalty` maps (critic, reals, fakes, mix) to one, with
    `gamma / 2` in front if `scaled` (and then lazily), else as it is at every step. G sees the reals only in a
    `relative` game.
    """

    of_d: Callable[[Tensor, Tensor], Tensor]
    of_g: Callable[[Tensor | None, Tensor], Tensor]
    penalty: Callable[[Critic, Tensor, Tensor, Tensor], Tensor]
    scaled: bool = True
    relative: bool = False


LOSSES: Mapping[str, Loss] = {
    # Goodfellow et al. 2014, non-saturating, with R1
    "ns-r1": Loss(
        of_d=_saturating_free_d,
        of_g=lambda real, fake: F.softplus(-fake).mean(),
        penalty=lambda critic, reals, fakes, mix: zero_centred_penalty(critic, reals),
    ),
    # Gulrajani et al. 2017 with the drift term of Karras et al. 2018
    "wgan-gp": Loss(
        of_d=_wasserstein_d,
        of_g=lambda real, fake: -fake.mean(),
        penalty=lambda critic, reals, fakes, mix: (
            WGAN_LAMBDA * one_centred_penalty(critic, reals, fakes=fakes, mix=mix)
        ),
        scaled=False,
    ),
    # relativistic pairing with both zero-centred penalties (Huang et al. 2024, R3GAN)
    "rpgan-r1-r2": Loss(
        of_d=lambda real, fake: F.softplus(fake - real).mean(),
        of_g=lambda real, fake: F.softplus(real - fake).mean(),
        penalty=lambda critic, reals, fakes, mix: (
            zero_centred_penalty(critic, reals) + zero_centred_penalty(critic, fakes)
        ),
        relative=True,
    ),
}
