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
        return self.discriminator(*self._join(batches), batches=len(batches)).chunk(len(batches))

    def logits_and_gradients(self, *batches: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """See `Critic`."""
        logits, gradients = self.discriminator.with_gradients(*self._join(batches), batches=len(batches))
        return logits.chunk(len(batches)), gradients.chunk(len(batches))

    def _join(self, batches: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | None, int, Tensor | None]:
        """Make the arguments of D for several batches at once; all have the same labels."""
        labels = self.labels if self.labels is None else self.labels.repeat(len(batches), 1)
        return torch.cat(batches), labels, self.level, self.alpha


DPass = tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor | None, ...]]


class Passes:
    """The passes of one step at one (level, fading).

    Nothing here changes anything. Nothing waits for the device either: no number is fetched from a tensor.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator, *, loss: str, level: int) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.loss, self.level = LOSSES[loss], level

    def fakes(self, z: Tensor, labels: Tensor | None, alpha: Tensor | None) -> Tensor:
        """Let G make images, to be differentiated by its weights.

        Parameters
        ----------
        z : (N, latent_size) float32
            Latents.
        labels : (N, F) int64, or None
            None where images have no labels.
        alpha : 0-dim float32, or None
            Weight of the newest block while it fades in, else None.

        Returns
        -------
        (N, C, h, w) float32
            Standardised images.
        """
        return self.generator(z, labels, self.level, alpha)

    def d_pass(self, *batches: Tensor | None) -> DPass:
        """Compute `d_losses`, and the gradients of the first by each weight of D; None for weights it does not use."""
        total, real, fake = self.d_losses(*batches)
        weights = list(self.discriminator.parameters())
        return (total.detach(), real, fake), torch.autograd.grad(total, weights, allow_unused=True)

    def g_pass(
        self, reals: Tensor, fakes: Tensor, labels: Tensor | None, alpha: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of G and its gradients by the fakes.

        Parameters
        ----------
        reals, fakes : (N, C, h, w) float32
            Standardised images; gradients do not reach back into G.
        labels : (N, F) int64, or None
            The labels of both.
        alpha : 0-dim float32, or None
            Weight of the newest block while it fades in, else None.

        Returns
        -------
        loss : 0-dim float32
            As of `g_loss`.
        gradients : (N, C, h, w) float32
            d loss / d fakes.
        """
        fakes = fakes.detach().requires_grad_(True)
        # Hold D still: its weights get no gradients in the pass of G.
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
        """Compute the loss of D.

        Parameters
        ----------
        reals, fakes : (N, C, h, w) float32
            Standardised images.
        labels : (N, F) int64, or None
            The labels of both.
        alpha : 0-dim float32, or None
            Weight of the newest block while it fades in, else None.
        mix : (N, 1, 1, 1) float32, optional
            Where between a real and a fake a penalty looks; only WGAN-GP asks.
        weight : 0-dim float32, optional
            How often the penalty counts; without one it is not computed.

        Returns
        -------
        loss, real_logit, fake_logit : 0-dim float32
            The loss, and the mean logits of reals and of fakes.
        """
        critic = _Critic(self.discriminator, labels, self.level, alpha)
        if weight is None:
            # Adversarial loss alone
            real, fake = critic.logits(reals, fakes)
            total = self.loss.of_d(real, fake)
        else:
            # Adversarial loss and gradient penalty, which share their passes through D
            real, fake, penalty = self.loss.score(critic, reals, fakes, mix)
            total = self.loss.of_d(real, fake) + weight * penalty
        return total, real.detach().mean(), fake.detach().mean()

    def g_loss(self, reals: Tensor, fakes: Tensor, labels: Tensor | None, alpha: Tensor | None) -> Tensor:
        """Compute the loss of G.

        Parameters
        ----------
        reals, fakes : (N, C, h, w) float32
            Standardised images; reals count with a relativistic loss only.
        labels : (N, F) int64, or None
            The labels of both.
        alpha : 0-dim float32, or None
            Weight of the newest block while it fades in, else None.

        Returns
        -------
        0-dim float32
            The loss, to be differentiated by `fakes`.
        """
        critic = _Critic(self.discriminator, labels, self.level, alpha)
        real = None
        if self.loss.relative:
            # Relativistic losses compare with the logits of reals, which G cannot change.
            with torch.no_grad():
                (real,) = critic.logits(reals)
        (fake,) = critic.logits(fakes)
        return self.loss.of_g(real, fake)
