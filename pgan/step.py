"""One training step: D learns to tell, G learns to pass, G_ema follows."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pgan.diversity import spreads
from pgan.losses import LOSSES, Critic
from pgan.schedule import Growth, ema_decay_at, gamma_of, penalty_interval
from pgan.state import TrainState


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Numbers of one step, each a 0-dim tensor."""

    d_loss: Tensor
    g_loss: Tensor
    real_logit: Tensor
    fake_logit: Tensor
    real_spread: Tensor
    fake_spread: Tensor


def train_step(state: TrainState, growth: Growth, *, reals: Tensor, labels: Tensor | None) -> StepResult:
    """Show one batch of standardised reals [N, C, h, w] and update everything; a non-finite update is left out.

    N is the batch, or this rank's part of it; every rank then makes the update of the whole batch.

    Fakes take the labels of the batch: they are drawn from the training labels, and a relativistic loss compares like
    with like. D and G use the same fakes, which saves one pass through G.
    """
    state.enter(growth)
    alpha = growth.alpha if growth.fading else None
    fakes = state.generator(state.latents(), labels, growth.level, alpha)
    critic = partial(state.discriminator, labels=labels, level=growth.level, alpha=alpha)
    d_loss, real, fake = _discriminator_loss(state, growth, critic=critic, reals=reals, fakes=fakes.detach())
    finite = _update(state, state.discriminator, state.d_adam, loss=d_loss)

    loss = LOSSES[state.config.loss]
    state.discriminator.requires_grad_(False)
    g_loss = loss.of_g(critic(reals) if loss.relative else None, critic(fakes))
    finite &= _update(state, state.generator, state.g_adam, loss=g_loss)
    state.discriminator.requires_grad_(True)

    state.nimg += state.config.batch
    state.skipped += not finite
    state.skipped_in_a_row = 0 if finite else state.skipped_in_a_row + 1
    state.follow(ema_decay_at(state.nimg, state.config))
    real_spread, fake_spread = spreads(reals, fakes.detach())
    return StepResult(
        d_loss=d_loss.detach(),
        g_loss=g_loss.detach(),
        real_logit=real.detach().mean(),
        fake_logit=fake.detach().mean(),
        real_spread=real_spread,
        fake_spread=fake_spread,
    )


def _discriminator_loss(
    state: TrainState, growth: Growth, *, critic: Critic, reals: Tensor, fakes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(loss of D with its penalty, logits of reals, logits of fakes)."""
    config, loss = state.config, LOSSES[state.config.loss]
    real, fake = critic(reals), critic(fakes)
    total = loss.of_d(real, fake)
    interval = penalty_interval(growth, config) if loss.scaled else 1
    if (state.nimg // config.batch) % interval == 0:
        mix = state.mixes()
        weight = interval * gamma_of(config, float(state.energies[growth.level])) / 2 if loss.scaled else 1.0
        total = total + weight * loss.penalty(critic, reals, fakes, mix)
    return total, real, fake


def _update(state: TrainState, network: torch.nn.Module, adam: torch.optim.Adam, *, loss: Tensor) -> bool:
    """One step down `loss`, left out where it or its gradient is not finite; says whether it was taken."""
    adam.zero_grad(set_to_none=True)
    loss.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    loss = loss.detach()
    state.ranks.average([*gradients, loss])  # the loss too, so that all ranks agree on whether it is finite
    finite = bool(torch.isfinite(loss + torch.nn.utils.get_total_norm(gradients)))
    if finite:
        adam.step()
    return finite
