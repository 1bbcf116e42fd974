"""Everything of a run that changes while it trains: networks, optimisers, counters, random numbers."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from pgan.config import TrainConfig
from pgan.networks.discriminator import Discriminator
from pgan.networks.generator import Generator
from pgan.networks.pyramid import estimate_energies, estimate_scales
from pgan.networks.shape import NetworkShape
from pgan.steps.distributed import Workers
from pgan.steps.schedule import Growth, learning_rate_at

# What `state_dict` holds beside networks, optimisers, random numbers and the range of the reals.
COUNTERS = ("nimg", "level", "skipped", "skipped_in_a_row", "rollbacks", "rate_factor")


def make_networks(shape: NetworkShape, *, seed: int) -> tuple[Generator, Discriminator]:
    """Make fresh networks whose weights depend on `seed` alone on one machine."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(shape), Discriminator(shape)


def choose_precision(config: TrainConfig, device: torch.device) -> torch.dtype:
    """Return the type that convolutions compute in.

    bf16 is eight times slower than fp32 on a CPU without units for it (docs/benchmarks/training.md).
    """
    if config.precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision]


@torch.no_grad()
def move_average(mean: nn.Module, network: nn.Module, share: float) -> None:
    """Move the running mean of a network's weights towards them.

    Parameters
    ----------
    mean : nn.Module
        A copy of the network with the mean weights; it is changed.
    network : nn.Module
        Where the weights are now.
    share : float
        How much of the way, 0 … 1.
    """
    torch._foreach_lerp_(list(mean.parameters()), list(network.parameters()), share)


class TrainState:
    """G, D, G_ema, both Adams, images shown, steps skipped, the stream of latents, and the range of the reals.

    With several workers all of it is the same on each. Random numbers are drawn for the whole batch, then shared out.

    Attributes
    ----------
    generator, discriminator, ema : nn.Module
        G, D and G_ema.
    g_adam, d_adam : torch.optim.Adam
        The optimisers of G and D.
    random : torch.Generator
        The stream of latents and mixes.
    scales : (levels, C) float32
        What to divide each channel by at each level, estimated once from reals; see `estimate_scales`.
    energies : (levels,) float32, on the CPU
        Mean squared length of a standardised real at each level; see `estimate_energies`.
    nimg, level : int
        Images shown, and the level of growth of the last step.
    skipped, skipped_in_a_row : int or 0-dim tensor
        Steps left out because they were not finite. While training they are counted on the device.
    rollbacks : int
        Times that the run went back to a checkpoint.
    rate_factor : float
        What the learning rate is multiplied by; rollbacks lower it.
    share : (batch / workers,) int64, or None
        This worker's rows of a batch; None for all of them.
    """

    def __init__(
        self, config: TrainConfig, shape: NetworkShape, *, device: torch.device, workers: Workers | None = None
    ) -> None:
        # Networks
        generator, discriminator = make_networks(shape, seed=config.seed)
        self.config = config
        self.device = device
        self.generator = generator.to(device)
        self.discriminator = discriminator.to(device)
        self.ema = deepcopy(self.generator).requires_grad_(False)
        self.generator.precision = self.discriminator.precision = choose_precision(config, device)
        # Which share of each batch is this worker's
        self.workers = workers or Workers()
        share = self.workers.share_of_batch(config)
        self.share = None if share is None else share.to(device)
        # Optimisers and random numbers
        self.g_adam = self._make_adam(self.generator)
        self.d_adam = self._make_adam(self.discriminator)
        self.random = torch.Generator(device).manual_seed(config.seed)
        # Range of the reals, until `fit_range` knows better; energies stay on the CPU, where they are read
        self.scales = torch.ones(shape.levels, shape.channels, device=device)
        self.energies = torch.ones(shape.levels)
        # Counters
        self.nimg = 0
        self.level = 0
        self.skipped = 0
        self.skipped_in_a_row = 0
        self.rollbacks = 0
        self.rate_factor = 1.0

    def _make_adam(self, network: nn.Module) -> torch.optim.Adam:
        """Make the optimiser of one network."""
        rate, beta2 = self.config.learning_rate, self.config.adam_beta2
        return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.0, beta2), eps=1e-8, fused=True)

    def fit_range(self, sample: Tensor) -> None:
        """Estimate scales and energies from full-size reals [N, C, H, W]."""
        scales = estimate_scales(sample, self.generator.shape.levels)
        self.scales, self.energies = scales.to(self.device), estimate_energies(sample, scales)

    def draw_latents(self) -> Tensor:
        """Draw this worker's share of a batch of z, [batch / workers, latent_size]."""
        size = (self.config.batch, self.config.latent_size)
        return self._take_share(torch.randn(size, generator=self.random, device=self.device))

    def draw_mixes(self) -> Tensor:
        """Draw a uniform number in [0, 1) for each image of this worker's share, [batch / workers, 1, 1, 1]."""
        size = (self.config.batch, 1, 1, 1)
        return self._take_share(torch.rand(size, generator=self.random, device=self.device))

    def _take_share(self, batch: Tensor) -> Tensor:
        """Return this worker's rows of a whole batch."""
        return batch if self.share is None else batch[self.share]

    def begin_step(self, growth: Growth) -> None:
        """Set the learning rate; at a new level forget Adam's moments, which belong to a smaller network (ProGAN)."""
        for adam in (self.g_adam, self.d_adam):
            adam.param_groups[0]["lr"] = self.rate_factor * learning_rate_at(growth, self.config)
            if growth.level != self.level:
                adam.state.clear()
        self.level = growth.level

    def update_ema(self, decay: float) -> None:
        """Move G_ema towards G: G_ema = decay · G_ema + (1 − decay) · G."""
        move_average(self.ema, self.generator, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain numbers only, so that they load with `weights_only=True`."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "ema": self.ema.state_dict(),
            "g_adam": self.g_adam.state_dict(),
            "d_adam": self.d_adam.state_dict(),
            "scales": self.scales,
            "energies": self.energies,
            "random": self.random.get_state(),
            **{name: _to_number(getattr(self, name)) for name in COUNTERS},
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        for name in ("generator", "discriminator", "ema", "g_adam", "d_adam"):
            getattr(self, name).load_state_dict(saved[name])
        self.scales, self.energies = saved["scales"].to(self.device), saved["energies"].cpu()
        self.random.set_state(saved["random"].cpu())
        for name in COUNTERS:
            setattr(self, name, saved[name])


def _to_number(number: Tensor | float) -> float:
    """Return a plain number, waiting for the device where it is counted there."""
    return number.item() if isinstance(number, Tensor) else number
