"""One training step: D learns to tell, G learns to pass, G_ema follows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pgan.steps.diversity import measure_spreads
from pgan.steps.passes import Passes
from pgan.steps.schedule import Growth, ema_decay_at, penalty_interval, penalty_weight
from pgan.steps.state import TrainState


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Numbers of one step, each a 0-dim tensor."""

    d_loss: Tensor
    g_loss: Tensor
    real_logit: Tensor
    fake_logit: Tensor
    real_spread: Tensor
    fake_spread: Tensor


def train_step(
    state: TrainState, growth: Growth, *, reals: Tensor, labels: Tensor | None, passes: Passes | None = None
) -> StepResult:
    """Show one batch of standardised reals [N, C, h, w] and update everything; a non-finite update is left out.

    N is the batch, or this rank's part of it; every rank then makes the update of the whole batch. `passes` has the
    passes of this moment of growth, compiled or not; without one they run as they are. Nothing waits for the device.

    Fakes take the labels of the batch: they are drawn from the training labels, and a relativistic loss compares like
    with like. D and G use the same fakes, which saves one pass through G.
    """
    state.enter(growth)
    passes = passes or Passes(state.generator, state.discriminator, loss=state.config.loss, level=growth.level)
    alpha = torch.full((), growth.alpha, device=state.device) if growth.fading else None
    fakes = passes.fakes(state.latents(), labels, alpha)
    seen = fakes.detach()
    penalty = _penalty_of_step(state, growth, scaled=passes.loss.scaled)
    (d_loss, real_logit, fake_logit), gradients = passes.d_pass(reals, seen, labels, alpha, *penalty)
    finite = _update(state, state.discriminator, state.d_adam, loss=d_loss, gradients=gradients)

    g_loss, by_fakes = passes.g_pass(reals, seen, labels, alpha)
    gradients = torch.autograd.grad(fakes, list(state.generator.parameters()), by_fakes, allow_unused=True)
    finite &= _update(state, state.generator, state.g_adam, loss=g_loss, gradients=gradients)

    state.nimg += state.config.batch
    state.skipped = state.skipped + ~finite
    state.skipped_in_a_row = (state.skipped_in_a_row + 1) * ~finite
    state.move_average(ema_decay_at(state.nimg, state.config))
    real_spread, fake_spread = measure_spreads(reals, seen)
    # what a CUDA graph gives out lives until its next run: a new tensor outlives it
    losses = torch.stack([d_loss, g_loss, real_logit, fake_logit]).unbind()
    return StepResult(
        **dict(zip(("d_loss", "g_loss", "real_logit", "fake_logit"), losses, strict=True)),
        real_spread=real_spread,
        fake_spread=fake_spread,
    )


def _penalty_of_step(state: TrainState, growth: Growth, *, scaled: bool) -> tuple[Tensor | None, Tensor | None]:
    """(mix [N, 1, 1, 1], 0-dim weight) of the penalty, or None and None in a step without one."""
    config = state.config
    interval = penalty_interval(growth, config) if scaled else 1
    if (state.nimg // config.batch) % interval:
        return None, None
    weight = interval * penalty_weight(config, float(state.energies[growth.level])) / 2 if scaled else 1.0
    return state.mixes(), torch.full((), weight, device=state.device)


def _update(
    state: TrainState,
    network: nn.Module,
    adam: torch.optim.Adam,
    *,
    loss: Tensor,
    gradients: Sequence[Tensor | None],
) -> Tensor:
    """One step of Adam, left out where `loss` or its gradients by the weights of the network are not finite.

    Says whether it was taken, as a 0-dim tensor on the device: Adam itself looks at the flag, so nobody waits for it.
    """
    for weight, gradient in zip(network.parameters(), gradients, strict=True):
        weight.grad = gradient
    used = [gradient for gradient in gradients if gradient is not None]
    state.ranks.average([*used, loss])  # the loss too, so that all ranks agree on whether it is finite
    finite = torch.isfinite(loss + torch.nn.utils.get_total_norm(used))
    adam.found_inf, adam.grad_scale = (~finite).float(), None  # as GradScaler tells it; read by the fused kernel
    adam.step()
    adam.zero_grad(set_to_none=True)
    return finite
