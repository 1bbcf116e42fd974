"""Passes compiled whole: which phases are worth it, one compiled phase at a time, and the way back if it fails."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pgan.config import TrainConfig
from pgan.networks.discriminator import Discriminator
from pgan.networks.generator import Generator
from pgan.steps.passes import DPass, Passes
from pgan.steps.schedule import Growth, Schedule
from pgan.tensor_files import first_line

# On one CPU core compiling a phase costs one to four minutes, and saves 5 to 15 ms a step. Measured in
# docs/benchmarks/training.md: it pays back only in phases of 20,000 steps and more.
CPU_STEPS_WORTH = 20_000
WARM_UPS = 3  # a CUDA graph is recorded in the second run, and first replayed in the third


class CompiledPasses(Passes):
    """A `Passes` whose passes are compiled when first called; the same results.

    D's pass is one graph, its gradients included: `torch.func.grad` over the weights, inside the compiled function.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        *,
        loss: str,
        level: int,
        backend: str = "inductor",
        mode: str | None = None,
    ) -> None:
        super().__init__(generator, discriminator, loss=loss, level=level)

        def compiled(function: Callable) -> Callable:
            return torch.compile(function, fullgraph=True, dynamic=False, backend=backend, mode=mode)

        self._fakes, self._g_gradients = compiled(super().fakes), compiled(self._g_gradients)
        self._d_gradients = compiled(self._d_gradients)
        self._module = _DLosses(self)
        self._used: tuple[str, ...] = ()  # names of D's weights that have a part in its loss

    def fakes(self, z: Tensor, labels: Tensor | None, alpha: Tensor | None) -> Tensor:
        """Let G make images; this begins a step, and what CUDA graphs gave out in the last one is gone.

        Parameters
        ----------
        z, labels, alpha
            See `Passes.fakes`.

        Returns
        -------
        (N, C, h, w) float32
            Standardised images.
        """
        torch.compiler.cudagraph_mark_step_begin()
        return self._fakes(z, labels, alpha)

    def d_pass(self, *batches: Tensor | None) -> DPass:
        """See `Passes`."""
        names = [name for name, _ in self._module.named_parameters()]
        if not self._used:
            # Which weights have a part in the loss, one pass as it is tells: `torch.func.grad` takes no others.
            _, gradients = super().d_pass(*batches)
            self._used = tuple(name for name, g in zip(names, gradients, strict=True) if g is not None)
        with torch.no_grad():
            losses, gradients = self._d_gradients(*batches)
        return losses, tuple(gradients.get(name) for name in names)

    def g_pass(
        self, reals: Tensor, fakes: Tensor, labels: Tensor | None, alpha: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of G and its gradients by the fakes.

        Parameters
        ----------
        reals, fakes, labels, alpha
            See `Passes.g_pass`.

        Returns
        -------
        loss : 0-dim float32
            As of `g_loss`.
        gradients : (N, C, h, w) float32
            d loss / d fakes.
        """
        with torch.no_grad():
            return self._g_gradients(reals, fakes, labels, alpha)

    def _d_gradients(self, *batches: Tensor | None) -> tuple[tuple[Tensor, Tensor, Tensor], dict[str, Tensor]]:
        """Compute `d_losses` and the gradients of the first, by name of the weight."""
        weights = dict(self._module.named_parameters())

        def losses(used: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            total, *logits = torch.func.functional_call(self._module, used, batches)
            return total, tuple(logits)

        used = {name: weights[name] for name in self._used}
        gradients, (total, (real, fake)) = torch.func.grad_and_value(losses, has_aux=True)(used)
        return (total, real, fake), gradients

    def _g_gradients(
        self, reals: Tensor, fakes: Tensor, labels: Tensor | None, alpha: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Compute `g_loss` and its gradients by the fakes."""
        gradients, loss = torch.func.grad_and_value(lambda images: self.g_loss(reals, images, labels, alpha))(fakes)
        return loss, gradients


class _DLosses(nn.Module):
    """`Passes.d_losses` as a module, so that it can be called with other weights."""

    def __init__(self, passes: Passes) -> None:
        super().__init__()
        self.discriminator, self.losses = passes.discriminator, passes.d_losses

    def forward(self, *batches: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return self.losses(*batches)


class PassesByPhase:
    """The passes of each moment of growth, compiled or not as `config.compile` says. Only the newest are kept.

    A phase that cannot be compiled (no C++ compiler, no Triton) runs as it is. So do all later ones. `say` gets a
    line about it.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        *,
        config: TrainConfig,
        schedule: Schedule,
        device: torch.device,
        say: Callable[[str], object] = print,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.config, self.schedule, self.device, self.say = config, schedule, device, say
        self._phase: tuple[int, bool] | None = None
        self._passes: Passes | None = None
        self._failed = False

    def at(self, growth: Growth, *, batch: int) -> Passes:
        """Return the passes of a moment of growth, for batches of `batch` images (this worker's share)."""
        phase = (growth.level, growth.fading)
        if phase != self._phase:
            self._phase, self._passes = phase, self._compile(growth, batch) or self._make_plain(growth)
        return self._passes

    def _make_plain(self, growth: Growth) -> Passes:
        """Make passes that are not compiled."""
        return Passes(self.generator, self.discriminator, loss=self.config.loss, level=growth.level)

    def _compile(self, growth: Growth, batch: int) -> Passes | None:
        """Compile passes and try them; None if they are not wanted or cannot be had."""
        if self._failed or not is_worth_compiling(growth, self.config, schedule=self.schedule, device=self.device):
            return None
        torch.compiler.reset()  # the last phase's code and graphs
        mode = "reduce-overhead" if self.device.type == "cuda" else None  # CUDA graphs
        passes = CompiledPasses(
            self.generator, self.discriminator, loss=self.config.loss, level=growth.level, mode=mode
        )
        try:
            # Compile now, with and without a penalty: a compiler that fails must not fail in the middle of a run.
            for _ in range(WARM_UPS):
                for penalised in (False, True):
                    try_passes(passes, growth, batch=batch, penalised=penalised, device=self.device)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, OSError, ImportError) as error:
            self.say(f"{growth.phase}: could not be compiled ({first_line(error)[:200]}); training goes on uncompiled")
            self._failed = True
            torch.compiler.reset()
            return None
        return passes


def is_worth_compiling(growth: Growth, config: TrainConfig, *, schedule: Schedule, device: torch.device) -> bool:
    """Say what `config.compile` means for a phase.

    It depends on the settings alone: a run that is resumed computes as before, to the bit.

    Parameters
    ----------
    growth : Growth
        A moment of the phase.
    config : TrainConfig
        Its `compile` is yes, no or auto. The last means: always on CUDA, on a CPU in long phases, elsewhere never.
    schedule : Schedule
        Tells the length of the phase.
    device : torch.device
        Where the run trains.

    Returns
    -------
    bool
        Whether to compile it.
    """
    if config.compile != "auto":
        return config.compile == "yes"
    if device.type == "cpu":
        length = {(level, fading): length for level, fading, _, length in schedule.phases()}
        return length[growth.level, growth.fading] / config.batch >= CPU_STEPS_WORTH
    return device.type == "cuda"


def try_passes(passes: Passes, growth: Growth, *, batch: int, penalised: bool, device: torch.device) -> list[Tensor]:
    """Run all passes and gradients of a step on random images; this changes no weight.

    Parameters
    ----------
    passes : Passes
        What to try.
    growth : Growth
        The moment of growth that they are for.
    batch : int
        Images of a batch.
    penalised : bool
        Whether the step has a gradient penalty.
    device : torch.device
        Where the networks are.

    Returns
    -------
    list of tensors
        Losses and gradients: of D, then of G; gradients that do not exist are left out.
    """
    random, shape = torch.Generator(device).manual_seed(0), passes.generator.shape

    def randn(*size: int) -> Tensor:
        return torch.randn(size, generator=random, device=device)

    # Batches like those of training
    factors = len(shape.factor_sizes)
    labels = torch.zeros((batch, factors), dtype=torch.int64, device=device) if factors else None
    alpha = torch.full((), growth.alpha, device=device) if growth.fading else None
    reals = randn(batch, shape.channels, growth.height, growth.width)
    mix, weight = (randn(batch, 1, 1, 1), torch.ones((), device=device)) if penalised else (None, None)
    # All passes of a step, in the order of `train_step`
    fakes = passes.fakes(randn(batch, shape.latent_size), labels, alpha)
    (d_loss, *_), d_gradients = passes.d_pass(reals, fakes.detach(), labels, alpha, mix, weight)
    g_loss, by_fakes = passes.g_pass(reals, fakes.detach(), labels, alpha)
    g_gradients = torch.autograd.grad(fakes, list(passes.generator.parameters()), by_fakes, allow_unused=True)
    # What a CUDA graph gives out lives until its next run: hand on copies.
    return [v.clone() for v in (d_loss, *d_gradients, g_loss, *g_gradients) if v is not None]
