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

COUNTERS = ("nimg", "level", "skipped", "skipped_in_a_row", "rollbacks", "rate_factor")


def make_networks(shape: NetworkShape, *, seed: int) -> tuple[Generator, Discriminator]:
    """Fresh networks whose weights depend on `seed` alone, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(shape), Discriminator(shape)


def choose_precision(config: TrainConfig, device: torch.device) -> torch.dtype:
    """What convolutions compute in; bf16 is slower than fp32 on a CPU without units for it."""
    if config.precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision]


@torch.no_grad()
def move_average(mean: nn.Module, network: nn.Module, share: float) -> None:
    """Move the running mean of a network's weights that share of the way towards them."""
    torch._foreach_lerp_(list(mean.parameters()), list(network.parameters()), share)


class TrainState:
    """G, D, G_ema, both Adams, images shown, steps skipped, the stream of latents, and the range of the reals.

    scales [levels, C] and energies [levels] are estimated once from reals, at the start of a run. With
    several `ranks` all of it is the same on each: random numbers are drawn for the whole batch, then shared out.
    """

    def __init__(
        self, config: TrainConfig, shape: NetworkShape, *, device: torch.device, ranks: Workers | None = None
    ) -> None:
        generator, discriminator = make_networks(shape, seed=config.seed)
        self.config = config
        self.device = device
        self.ranks = ranks or Workers()
        part = self.ranks.share_of_batch(config)
        self.part = None if part is None else part.to(device)  # this rank's rows of a batch; None: all of them
        self.generator = generator.to(device)
        self.discriminator = discriminator.to(device)
        self.ema = deepcopy(self.generator).requires_grad_(False)
        self.generator.precision = self.discriminator.precision = choose_precision(config, device)
        self.g_adam = self._adam(self.generator)
        self.d_adam = self._adam(self.discriminator)
        self.random = torch.Generator(device).manual_seed(config.seed)
        self.scales = torch.ones(shape.levels, shape.channels, device=device)
        self.energies = torch.ones(shape.levels)  # stays on the CPU, where it is read
        self.nimg = 0
        self.level = 0
        self.skipped = 0
        self.skipped_in_a_row = 0
        self.rollbacks = 0
        self.rate_factor = 1.0  # of the learning rate: lowered by rollbacks

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        rate, beta2 = self.config.learning_rate, self.config.adam_beta2
        return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.0, beta2), eps=1e-8, fused=True)

    def fit_range(self, sample: Tensor) -> None:
        """Estimate scales and energies from full-size reals [N, C, H, W]."""
        scales = estimate_scales(sample, self.generator.shape.levels)
        self.scales, self.energies = scales.to(self.device), estimate_energies(sample, scales)

    def latents(self) -> Tensor:
        """This rank's part of a batch of z, [batch / ranks, latent_size]."""
        size = (self.config.batch, self.config.latent_size)
        return self._own(torch.randn(size, generator=self.random, device=self.device))

    def mixes(self) -> Tensor:
        """Uniform numbers in [0, 1), one for each image of this rank's part of a batch: [batch / ranks, 1, 1, 1]."""
        size = (self.config.batch, 1, 1, 1)
        return self._own(torch.rand(size, generator=self.random, device=self.device))

    def _own(self, batch: Tensor) -> Tensor:
        return batch if self.part is None else batch[self.part]

    def enter(self, growth: Growth) -> None:
        """Set the learning rate; at a new level forget Adam's moments, which belong to a smaller network (ProGAN)."""
        for adam in (self.g_adam, self.d_adam):
            adam.param_groups[0]["lr"] = self.rate_factor * learning_rate_at(growth, self.config)
            if growth.level != self.level:
                adam.state.clear()
        self.level = growth.level

    def move_average(self, decay: float) -> None:
        """Move G_ema towards G: G_ema = decay · G_ema + (1 − decay) · G."""
        move_average(self.ema, self.generator, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain numbers only, so that it loads with `weights_only=True`."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "ema": self.ema.state_dict(),
            "g_adam": self.g_adam.state_dict(),
            "d_adam": self.d_adam.state_dict(),
            "scales": self.scales,
            "energies": self.energies,
            "random": self.random.get_state(),
            **{name: _plain(getattr(self, name)) for name in COUNTERS},
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for name in ("generator", "discriminator", "ema", "g_adam", "d_adam"):
            getattr(self, name).load_state_dict(saved[name])
        self.scales, self.energies = saved["scales"].to(self.device), saved["energies"].cpu()
        self.random.set_state(saved["random"].cpu())
        for name in COUNTERS:
            setattr(self, name, saved[name])


def _plain(number: Tensor | float) -> float:
    """A plain number, waiting for the device where it is counted there."""
    return number.item() if isinstance(number, Tensor) else number
