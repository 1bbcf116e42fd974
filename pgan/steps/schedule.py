"""When what grows: pure functions of the number of images shown, so that a resumed run needs no memory of them."""

from dataclasses import dataclass
from math import ceil, cos, pi

from pgan.config import TrainConfig, base_shape


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Where a run stands. Level 0 is the base, each further one doubles it; `alpha` weighs the newest block."""

    level: int
    height: int
    width: int
    alpha: float  # 0 → 1 during a fade-in, else 1
    fading: bool
    last: bool  # in the hold at full resolution
    progress: float  # share of this phase that is over, 0 → 1

    @property
    def phase(self) -> str:
        """In words."""
        return f"{'fade-in' if self.fading else 'hold'} {self.height}x{self.width}"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The phases of a run: hold 0, fade 1, hold 1, …, fade n, hold n; lengths in images."""

    base_height: int
    base_width: int
    doublings: int
    first: float
    fade: float
    hold: float
    last: float

    @classmethod
    def of(cls, config: TrainConfig, *, height: int, width: int) -> "Schedule":
        """The schedule of a config for images of `height` × `width`; raises `InputError` on a size out of reach."""
        base_height, base_width, doublings = base_shape(height, width, start_resolution=config.start_resolution)
        return cls(
            base_height=base_height,
            base_width=base_width,
            doublings=doublings,
            first=config.first_kimg * 1000,
            fade=config.fade_kimg * 1000,
            hold=config.hold_kimg * 1000,
            last=config.last_kimg * 1000,
        )

    def phases(self) -> list[tuple[int, bool, float, float]]:
        """(level, fading, begin, length) of each phase; begin and length in images."""
        found, begin = [], 0.0
        for level in range(self.doublings + 1):
            is_last = level == self.doublings
            hold = self.last if is_last else (self.first if level == 0 else self.hold)
            for fading, length in ((True, self.fade if level else 0.0), (False, hold)):
                if length > 0:
                    found.append((level, fading, begin, length))
                begin += length
        return found

    @property
    def total(self) -> int:
        """Images shown by the end."""
        _, _, begin, length = self.phases()[-1]
        return ceil(begin + length)

    def growth_at(self, nimg: int) -> Growth:
        """Level and alpha after `nimg` images; past the end it stays at the last phase's end."""
        phases = self.phases()
        level, fading, begin, length = next((p for p in reversed(phases) if p[2] <= nimg), phases[0])
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
    """Constant, then a cosine fall to `final_rate_share` over the last phase."""
    fallen = (1 - cos(pi * growth.progress)) / 2 if growth.last else 0.0
    return config.learning_rate * (1 - (1 - config.final_rate_share) * fallen)


def penalty_weight(config: TrainConfig, energy: float) -> float:
    """Weight of R1/R2 at a level of growth: gamma_scale · energy / batch.

    `energy` is the mean squared length of a real (see `estimate_energies`). The usual rule has the number of pixels
    instead (StyleGAN2-ADA: 2e-4 · pixels / batch); the two grow alike on pictures that fill their frame. On sparse maps
    the energy grows like the length of a stroke, and a penalty that grows with the pixels would disarm D.
    """
    return config.gamma_scale * energy / config.batch


def penalty_interval(growth: Growth, config: TrainConfig) -> int:
    """Steps between two R1/R2 penalties; at small sizes they are cheap and matter most."""
    return config.penalty_steps_to_32px if min(growth.height, growth.width) <= 32 else config.penalty_steps_above


def ema_decay_at(nimg: int, config: TrainConfig) -> float:
    """Share of G_ema kept in one step: half-life in images, ramped up from the start of the run."""
    half_life = min(config.ema_half_life_kimg * 1000, config.ema_ramp_share * nimg)
    return 0.5 ** (config.batch / half_life) if half_life > 0 else 0.0
