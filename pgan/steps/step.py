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
    """Numbers of one step, each a 0-dim tensor on the device.

    Attributes
    ----------
    d_loss, g_loss : Tensor
        Losses of D and G.
    real_logit, fake_logit : Tensor
        Mean logits of reals and of fakes.
    real_spread, fake_spread : Tensor
        Mean distances between two reals and between two fakes; see `measure_spreads`.
    """

    d_loss: Tensor
    g_loss: Tensor
    real_logit: Tensor
    fake_logit: Tensor
    real_spread: Tensor
    fake_spread: Tensor


def train_step(
    state: TrainState, growth: Growth, *, reals: Tensor, labels: Tensor | None, passes: Passes | None = None
) -> StepResult:
    """Show one batch of reals and update everything; an update that is not finite is left out.

    Fakes take the labels of the batch: they are drawn from the training labels, and a relativistic loss compares like
    with like. D and G use the same fakes, which saves one pass through G. Never call `.item()` in here: it waits for
    the device.

    Parameters
    ----------
    state : TrainState
        Everything that a step changes.
    growth : Growth
        The moment of growth.
    reals : (N, C, h, w) float32
        Standardised reals at this level; N is the batch, or this worker's share of it. Every worker then makes the
        update of the whole batch.
    labels : (N, F) int64, or None
        Their labels.
    passes : Passes, optional
        The passes of this moment of growth, compiled or not; without them they run as they are.

    Returns
    -------
    StepResult
        What to report of the step.
    """
    state.begin_step(growth)
    passes = passes or Passes(state.generator, state.discriminator, loss=state.config.loss, level=growth.level)
    alpha = torch.full((), growth.alpha, device=state.device) if growth.fading else None

    # Fakes of this step, for both networks
    fakes = passes.fakes(state.draw_latents(), labels, alpha)
    seen = fakes.detach()

    # Discriminator step, with the gradient penalty in every k-th one
    penalty = _draw_penalty(state, growth, scaled=passes.loss.scaled)
    (d_loss, real_logit, fake_logit), gradients = passes.d_pass(reals, seen, labels, alpha, *penalty)
    finite = _update(state, state.discriminator, state.d_adam, loss=d_loss, gradients=gradients)

    # Generator step, against the D just updated; the chain rule takes the gradients by the fakes through G
    g_loss, by_fakes = passes.g_pass(reals, seen, labels, alpha)
    gradients = torch.autograd.grad(fakes, list(state.generator.parameters()), by_fakes, allow_unused=True)
    finite &= _update(state, state.generator, state.g_adam, loss=g_loss, gradients=gradients)

    # Count on the device
    state.nimg += state.config.batch
    state.skipped = state.skipped + ~finite
    state.skipped_in_a_row = (state.skipped_in_a_row + 1) * ~finite

    # Follow with G_ema
    state.update_ema(ema_decay_at(state.nimg, state.config))

    # Report. What a CUDA graph gives out lives until its next run: a new tensor outlives it.
    real_spread, fake_spread = measure_spreads(reals, seen)
    losses = torch.stack([d_loss, g_loss, real_logit, fake_logit]).unbind()
    return StepResult(
        **dict(zip(("d_loss", "g_loss", "real_logit", "fake_logit"), losses, strict=True)),
        real_spread=real_spread,
        fake_spread=fake_spread,
    )


def _draw_penalty(state: TrainState, growth: Growth, *, scaled: bool) -> tuple[Tensor | None, Tensor | None]:
    """Return (mix [N, 1, 1, 1], 0-dim weight) of the gradient penalty, or (None, None) in a step without one."""
    config = state.config
    # R1 penalty (Mescheder et al. 2018), every k-th step and then k-fold (lazy regularisation, Karras et al. 2020)
    interval = penalty_interval(growth, config) if scaled else 1
    if (state.nimg // config.batch) % interval:
        return None, None
    # gamma / 2 as in R1; a penalty that is not scaled (WGAN-GP) has its own weight
    weight = interval * penalty_weight(config, float(state.energies[growth.level])) / 2 if scaled else 1.0
    return state.draw_mixes(), torch.full((), weight, device=state.device)


def _update(
    state: TrainState,
    network: nn.Module,
    adam: torch.optim.Adam,
    *,
    loss: Tensor,
    gradients: Sequence[Tensor | None],
) -> Tensor:
    """Take one step of Adam, unless `loss` or its gradients by the weights of the network are not finite.

    Says whether it was taken, as a 0-dim tensor on the device: Adam itself looks at the flag, so nobody waits for it.
    """
    # Gradients of the whole batch; the loss too, so that all workers agree on whether it is finite
    for weight, gradient in zip(network.parameters(), gradients, strict=True):
        weight.grad = gradient
    used = [gradient for gradient in gradients if gradient is not None]
    state.workers.average([*used, loss])

    # Adam's fused kernel reads the flag as `GradScaler` sets it, and changes nothing where it is 1.
    finite = torch.isfinite(loss + torch.nn.utils.get_total_norm(used))
    adam.found_inf, adam.grad_scale = (~finite).float(), None
    adam.step()
    adam.zero_grad(set_to_none=True)
    return finite
