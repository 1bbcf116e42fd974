"""When what grows: pure functions of the number of images shown, so that a resumed run needs no memory of them."""

from dataclasses import dataclass
from math import ceil, cos, pi
from typing import NamedTuple

from pgan.config import TrainConfig, find_base_shape


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A moment of growth: where a run stands after some images.

    Attributes
    ----------
    level : int
        0 is the base; each further one doubles both sides.
    height, width : int
        Pixels of an image at this level.
    alpha : float
        Weight of the newest block: 0 → 1 during a fade-in, else 1.
    fading : bool
        Whether this is a fade-in; else it is a hold.
    last : bool
        Whether this is the hold at full resolution.
    progress : float
        Share of this phase that is over, 0 → 1.
    """

    level: int
    height: int
    width: int
    alpha: float
    fading: bool
    last: bool
    progress: float

    @property
    def phase(self) -> str:
        """The phase in words, such as "fade-in 8x8"."""
        return f"{'fade-in' if self.fading else 'hold'} {self.height}x{self.width}"


class Phase(NamedTuple):
    """One fade-in or hold.

    Attributes
    ----------
    level : int
        Its level of growth.
    fading : bool
        Whether it is a fade-in.
    begin, length : float
        Images shown before it, and in it.
    """

    level: int
    fading: bool
    begin: float
    length: float


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The phases of a run: hold 0, fade 1, hold 1, …, fade n, hold n.

    Attributes
    ----------
    base_height, base_width : int
        Pixels of an image at level 0.
    doublings : int
        Levels after that, n.
    first, fade, hold, last : float
        Images of the first hold, of each fade-in, of each hold between, and of the hold at full resolution.
    """

    base_height: int
    base_width: int
    doublings: int
    first: float
    fade: float
    hold: float
    last: float

    @classmethod
    def of(cls, config: TrainConfig, *, height: int, width: int) -> "Schedule":
        """Make the schedule of a config.

        Parameters
        ----------
        config : TrainConfig
            Its lengths count thousands of images.
        height, width : int
            Pixels of a full-size image.

        Returns
        -------
        Schedule
            Lengths in images.

        Raises
        ------
        InputError
            The size cannot be reached by doubling.
        """
        base_height, base_width, doublings = find_base_shape(height, width, start_resolution=config.start_resolution)
        return cls(
            base_height=base_height,
            base_width=base_width,
            doublings=doublings,
            first=config.first_kimg * 1000,
            fade=config.fade_kimg * 1000,
            hold=config.hold_kimg * 1000,
            last=config.last_kimg * 1000,
        )

    def phases(self) -> list[Phase]:
        """List the phases in their order, without those that have no length."""
        result, begin = [], 0.0
        for level in range(self.doublings + 1):
            is_last = level == self.doublings
            hold = self.last if is_last else (self.first if level == 0 else self.hold)
            # Fade the level in (level 0 is there from the start), then hold it.
            for fading, length in ((True, self.fade if level else 0.0), (False, hold)):
                if length > 0:
                    result.append(Phase(level, fading, begin, length))
                begin += length
        return result

    @property
    def total(self) -> int:
        """Images shown by the end."""
        last = self.phases()[-1]
        return ceil(last.begin + last.length)

    def growth_at(self, nimg: int) -> Growth:
        """Return the moment of growth after `nimg` images; past the end it stays at the last phase's end."""
        # The last phase that has begun, and how much of it is over.
        phases = self.phases()
        level, fading, begin, length = next((phase for phase in reversed(phases) if phase.begin <= nimg), phases[0])
        progress = 1.0 if nimg >= self.total else min(1.0, (nimg - begin) / length)  # whatever lengths round to
        return Growth(
            level=level,
            height=self.base_height * 2**level,
            width=self.base_width * 2**level,
            alpha=progress if fading else 1.0,
            fading=fading,
            last=level == self.doublings and not fading,
            progress=progress,
        )


def learning_rate_at(growth: Growth, config: TrainConfig) -> float:
    """Return the learning rate: constant, then a cosine fall to `final_rate_share` over the last phase."""
    fallen = (1 - cos(pi * growth.progress)) / 2 if growth.last else 0.0
    return config.learning_rate * (1 - (1 - config.final_rate_share) * fallen)


def penalty_weight(config: TrainConfig, energy: float) -> float:
    """Return the weight of R1/R2 at a level of growth: gamma_scale · energy / batch.

    `energy` is the mean squared length of a real (see `estimate_energies`). The usual rule has the number of pixels
    instead (StyleGAN2-ADA: 2e-4 · pixels / batch). The two grow alike on pictures that fill their frame. On sparse
    pictures of strokes the energy grows like the length of a stroke. The usual rule would disarm D.
    """
    return config.gamma_scale * energy / config.batch


def penalty_interval(growth: Growth, config: TrainConfig) -> int:
    """Return the steps between two R1/R2 penalties; at small sizes they are cheap and matter most."""
    return config.penalty_steps_to_32px if min(growth.height, growth.width) <= 32 else config.penalty_steps_above


def ema_decay_at(nimg: int, config: TrainConfig) -> float:
    """Return the share of G_ema kept in one step: half-life in images, ramped up from the start of the run."""
    half_life = min(config.ema_half_life_kimg * 1000, config.ema_ramp_share * nimg)
    return 0.5 ** (config.batch / half_life) if half_life > 0 else 0.0
