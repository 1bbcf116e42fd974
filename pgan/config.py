"""What one training run is: every number that shapes it, the presets, and the image sizes they can reach."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import log2, sqrt
from typing import Any

from rasterize.errors import InputError
from rasterize.flags import check_settings, setting

LOSS_NAMES = ("ns-r1", "wgan-gp", "rpgan-r1-r2")
COMPILE = ("auto", "yes", "no")
PRECISIONS = ("auto", "fp32", "bf16")
USUAL_PRESET = "tiny"
JURY, JURY_KIMG = 3, 200.0  # discriminators that judge, and thousands of reals each learns from; set by hand


NETWORKS, SCHEDULE, STEPS, FILES = "Networks", "Schedule", "Steps", "Files"  # panels of the help


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings of a run: flags of `python -m pgan train` (`fade_kimg` is `--fade-kimg`), rare ones by `--set`.

    `kimg` counts thousands of real images shown to the discriminator. Defaults are those of the preset `default`.
    """

    loss: str = setting("ns-r1", f"One of {', '.join(LOSS_NAMES)}.", panel=STEPS)
    seed: int = setting(0, "Seed of weights, latents and data order.", panel=STEPS)
    batch: int = setting(64, "Images per step.", panel=STEPS)
    pack: int = setting(1, "Images the discriminator scores together (PacGAN); 1 = one at a time.", panel=NETWORKS)
    start_resolution: int = setting(4, "Pixels of the shorter side in the first phase, at least.", panel=NETWORKS)
    base_maps: int = setting(
        4096, "Feature maps x resolution / 2, where max_maps does not bind.", panel=NETWORKS, rare=True
    )
    max_maps: int = setting(256, "Most feature maps of a layer.", panel=NETWORKS)
    dense_size: int = setting(
        256,
        "Width of the discriminator's last hidden layer, and of the generator's dense ones.",
        panel=NETWORKS,
        rare=True,
    )
    dense_layers: int = setting(
        0, "Dense layers in the generator before its first picture; ProGAN has none.", panel=NETWORKS, rare=True
    )
    latent_size: int = setting(256, "Numbers in a latent.", panel=NETWORKS, rare=True)
    label_size: int = setting(
        64, "Numbers a label becomes for the generator, where images have labels.", panel=NETWORKS, rare=True
    )
    label_power: float = setting(
        1.0,
        "Training shows a label combination in proportion to its count to this power: 1 as the data, 0 all alike.",
        panel=STEPS,
    )
    first_kimg: float = setting(600.0, "Length of the first phase.", panel=SCHEDULE)
    fade_kimg: float = setting(600.0, "Length of each fade-in.", panel=SCHEDULE)
    hold_kimg: float = setting(600.0, "Length of each hold, but for the first and last.", panel=SCHEDULE)
    last_kimg: float = setting(4000.0, "Length of the hold at full resolution.", panel=SCHEDULE)
    learning_rate: float = setting(
        1e-3, "Adam's, of generator and discriminator alike. A preset's follows --batch.", panel=STEPS
    )
    final_rate_share: float = setting(
        0.25, "Share of the learning rate left at the end of the last phase (cosine).", panel=STEPS, rare=True
    )
    adam_beta2: float = setting(
        0.99, "Adam's second beta; the first is 0. A preset's follows --batch.", panel=STEPS, rare=True
    )
    gamma_scale: float = setting(0.1, "R1/R2 weight: gamma = gamma_scale x energy of a real / batch.", panel=STEPS)
    penalty_steps_to_32px: int = setting(1, "Steps between two R1/R2 penalties, up to 32 px.", panel=STEPS, rare=True)
    penalty_steps_above: int = setting(16, "Steps between two R1/R2 penalties, above 32 px.", panel=STEPS, rare=True)
    ema_half_life_kimg: float = setting(
        10.0, "Half-life of the running mean of the generator, which makes the images.", panel=STEPS, rare=True
    )
    ema_ramp_share: float = setting(
        0.05, "Half-life is at most this share of the images shown so far.", panel=STEPS, rare=True
    )
    stddev_group: int = setting(4, "Images per minibatch-stddev group.", panel=NETWORKS, rare=True)
    compile: str = setting(
        "auto", "Compile steps: yes, no, or auto (always on CUDA, in long phases on a CPU).", panel=STEPS
    )
    precision: str = setting(
        "auto", "Type of convolutions: fp32, bf16, or auto (bf16 on CUDA, else fp32).", panel=STEPS
    )
    picture_kimg: float = setting(50.0, "Images between two progress pictures.", panel=FILES)
    checkpoint_kimg: float = setting(50.0, "Images between two checkpoints.", panel=FILES)
    keep_checkpoints: int = setting(3, "Newest checkpoints kept.", panel=FILES)

    def __post_init__(self) -> None:
        faults = [fault for wrong, fault in self._checks() if wrong]
        if faults:
            raise InputError(f"training settings: {'; '.join(faults)}")

    def _checks(self) -> list[tuple[bool, str]]:
        """List what may be wrong: (whether it is, what to say)."""
        positive = ("batch", "pack", "max_maps", "base_maps", "latent_size", "label_size", "dense_size", "stddev_group")
        positive += ("learning_rate", "penalty_steps_to_32px", "penalty_steps_above", "last_kimg")
        positive += ("picture_kimg", "checkpoint_kimg", "keep_checkpoints")
        at_least_0 = ("first_kimg", "fade_kimg", "hold_kimg", "dense_layers", "gamma_scale")
        at_least_0 += ("ema_half_life_kimg", "ema_ramp_share", "label_power")
        return [
            (self.loss not in LOSS_NAMES, f"loss '{self.loss}' is unknown; losses: {', '.join(LOSS_NAMES)}"),
            (
                self.start_resolution < 4 or log2(max(self.start_resolution, 1)) % 1 > 0,
                f"start_resolution must be a power of two from 4 on, not {self.start_resolution}",
            ),
            (
                self.pack < 1 or self.batch % max(self.pack, 1) > 0,
                f"batch ({self.batch}) must be a multiple of pack ({self.pack})",
            ),
            (self.compile not in COMPILE, f"compile must be one of {', '.join(COMPILE)}, not '{self.compile}'"),
            (
                self.precision not in PRECISIONS,
                f"precision must be one of {', '.join(PRECISIONS)}, not '{self.precision}'",
            ),
            (not 0 <= self.adam_beta2 < 1, f"adam_beta2 must be in [0, 1), not {self.adam_beta2}"),
            (not 0 < self.final_rate_share <= 1, f"final_rate_share must be in (0, 1], not {self.final_rate_share}"),
            *((not getattr(self, name) > 0, f"{name} must be above 0") for name in positive),
            *((not getattr(self, name) >= 0, f"{name} must not be below 0") for name in at_least_0),
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a JSON object."""
        return asdict(self)


PRESETS: Mapping[str, TrainConfig] = {
    # For a CPU, minutes. Tried by hand, not swept, by decoding the fakes. The pictures were simulated and sparse: one
    # stroke each, between 30 points. Fast small steps and a strong penalty were each worth a multiple of the training
    # time. (Learning rate 0.002 → 0.02 with beta2 0.99 → 0.9; gamma_scale 0.03 → 0.13.) No trial of the very 0.36 is
    # written down. One hidden layer lets G choose between strokes instead of mixing them.
    # Measured since on real data (docs/experiments.md): latents of 64 to 256 numbers are alike, and so are half-lives
    # of 0.5 to 8 kimg. A rate that falls to a fifth instead of a twentieth is no better. Loss and pack: see "default".
    "tiny": TrainConfig(
        batch=16,
        start_resolution=8,
        base_maps=256,
        max_maps=32,
        dense_size=128,
        dense_layers=1,
        latent_size=64,
        label_size=32,
        first_kimg=20.0,
        fade_kimg=5.0,
        hold_kimg=36.0,
        last_kimg=60.0,
        learning_rate=0.02,
        final_rate_share=0.05,
        adam_beta2=0.9,
        gamma_scale=0.36,
        penalty_steps_to_32px=3,
        penalty_steps_above=3,
        ema_half_life_kimg=2.0,
        picture_kimg=2.0,
        checkpoint_kimg=10.0,
    ),
    # For a GPU. Loss and pack are the winners of the coverage benchmark on a CPU (docs/benchmarks/training.md), with
    # `tiny`. All else was set by hand, between `tiny` and `paper`, and is not measured: no GPU was at hand.
    "default": TrainConfig(),
    # Karras et al. 2018 as published, but for a batch of 64 throughout.
    "paper": TrainConfig(
        loss="wgan-gp",
        base_maps=8192,
        max_maps=512,
        dense_size=512,
        latent_size=512,
        last_kimg=8000.0,
        final_rate_share=1.0,
    ),
}


def resolve_config(preset: str, changes: Mapping[str, Any]) -> TrainConfig:
    """Change some settings of a preset; raises `InputError` on an unknown preset or a setting that cannot be.

    The rates of a preset hold at its batch. With a batch κ times as large, those not given follow the rule for Adam. It
    is learning rate · √κ, and beta2^κ. The latter keeps the memory of its second moment at as many images. See Malladi
    et al. 2022, "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms". There it is 1 − κ (1 − beta2).

    Nothing else needs a rule. G_ema's half-life counts images. Gamma falls with the batch and follows the reals of each
    resolution (`penalty_weight`). The equalised learning rate makes one rate fit all resolutions (Karras et al. 2018,
    section 4.1).
    """
    if preset not in PRESETS:
        raise InputError(f"preset '{preset}' is unknown; presets: {', '.join(PRESETS)}")
    changes = check_settings((TrainConfig,), changes)
    reference = PRESETS[preset]
    factor = max(changes.get("batch", reference.batch), 1) / reference.batch  # below 1 image: refused by the settings
    following = {
        "learning_rate": reference.learning_rate * sqrt(factor),
        "adam_beta2": reference.adam_beta2**factor,
    }
    return replace(reference, **(following | dict(changes)))


def find_base_shape(height: int, width: int, *, start_resolution: int) -> tuple[int, int, int]:
    """Find the size of the first phase, from which doubling leads to full size.

    The frame is halved while it divides and its shorter side stays at least `start_resolution`.

    Parameters
    ----------
    height, width : int
        Pixels of a full-size image.
    start_resolution : int
        Pixels of the shorter side in the first phase, at least.

    Returns
    -------
    height, width : int
        Pixels of an image in the first phase.
    doublings : int
        Levels after the first.

    Raises
    ------
    InputError
        The shorter side ends at twice `start_resolution` or more, so that the size cannot be reached by doubling.
    """
    doublings = 0
    h, w = height, width
    while h % 2 == 0 and w % 2 == 0 and min(h, w) // 2 >= start_resolution:
        h, w, doublings = h // 2, w // 2, doublings + 1
    if start_resolution <= min(h, w) < 2 * start_resolution:
        return h, w, doublings
    raise InputError(
        f"images of {height}x{width} pixels cannot be reached by doubling from {start_resolution} px; "
        f"sizes near it that can: {_sizes_near(height, width, start_resolution)}; "
        "make the images again with another --resolution, or change --start-resolution"
    )


def _sizes_near(height: int, width: int, start: int) -> str:
    """Name up to three sizes with both sides a base times the same power of two, nearest first."""
    power = 2 ** max(0, int(log2(min(height, width) / start)))
    sizes = {
        (max(h, start) * factor, max(w, start) * factor)
        for factor in (power, 2 * power)
        for h in (height // factor, height // factor + 1)
        for w in (width // factor, width // factor + 1)
        if min(max(h, start), max(w, start)) < 2 * start
    }
    nearest = sorted(sizes, key=lambda size: (abs(size[0] - height) + abs(size[1] - width), size))
    return ", ".join(f"{h}x{w}" for h, w in nearest[:3])
