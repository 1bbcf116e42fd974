"""The two losses of one moment of growth as pure functions of batches, eager or compiled whole."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pgan.networks.discriminator import Discriminator
from pgan.networks.generator import Generator
from pgan.networks.losses import LOSSES


@dataclass(frozen=True)
class _Critic:
    """D at one moment of growth, for batches with these labels: a `pgan.networks.losses.Critic`."""

    discriminator: Discriminator
    labels: Tensor | None
    level: int
    alpha: Tensor | None

    def logits(self, *batches: Tensor) -> tuple[Tensor, ...]:
        """See `Critic`."""
        return self.discriminator(*self._together(batches), parts=len(batches)).chunk(len(batches))

    def logits_and_gradients(self, *batches: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """See `Critic`."""
        logits, gradients = self.discriminator.with_gradients(*self._together(batches), parts=len(batches))
        return logits.chunk(len(batches)), gradients.chunk(len(batches))

    def _together(self, batches: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None, int, Tensor | None]:
        labels = self.labels if self.labels is None else self.labels.repeat(len(batches), 1)
        return torch.cat(batches), labels, self.level, self.alpha


DPass = tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor | None, ...]]


class Passes:
    """The passes of one step at one (level, fading). alpha: a 0-dim tensor while fading, else None.

    Nothing here changes anything, or waits for the device.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator, *, loss: str, level: int) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.loss, self.level = LOSSES[loss], level

    def fakes(self, z: Tensor, labels: Tensor | None, alpha: Tensor | None) -> Tensor:
        """G's images [N, C, h, w], to be differentiated by its weights."""
        return self.generator(z, labels, self.level, alpha)

    def d_pass(self, *batches: Tensor | None) -> DPass:
        """`d_losses`, and the gradients of the first by each weight of D; None for weights without a part in it."""
        total, real, fake = self.d_losses(*batches)
        weights = list(self.discriminator.parameters())
        return (total.detach(), real, fake), torch.autograd.grad(total, weights, allow_unused=True)

    def g_pass(
        self, reals: Tensor, fakes: Tensor, labels: Tensor | None, alpha: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(`g_loss`, its gradients by the fakes)."""
        fakes = fakes.detach().requires_grad_(True)
        self.discriminator.requires_grad_(False)
        loss = self.g_loss(reals, fakes, labels, alpha)
        self.discriminator.requires_grad_(True)
        return loss.detach(), torch.autograd.grad(loss, fakes)[0]

    def d_losses(
        self,
        reals: Tensor,
        fakes: Tensor,
        labels: Tensor | None,
        alpha: Tensor | None,
        mix: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(loss of D, mean logit of reals, of fakes); with `weight` (0-dim) times the penalty, if given."""
        critic = _Critic(self.discriminator, labels, self.level, alpha)
        if weight is None:
            real, fake = critic.logits(reals, fakes)
            total = self.loss.of_d(real, fake)
        else:
            real, fake, penalty = self.loss.score(critic, reals, fakes, mix)
            total = self.loss.of_d(real, fake) + weight * penalty
        return total, real.detach().mean(), fake.detach().mean()

    def g_loss(self, reals: Tensor, fakes: Tensor, labels: Tensor | None, alpha: Tensor | None) -> Tensor:
        """The loss of G; reals count in a relative game only."""
        critic = _Critic(self.discriminator, labels, self.level, alpha)
        real = None
        if self.loss.relative:
            with torch.no_grad():
                (real,) = critic.logits(reals)
        (fake,) = critic.logits(fakes)
        return self.loss.of_g(real, fake)
