"""The sizes that generator and discriminator are built from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pgan.config import TrainConfig, base_shape


@dataclass(frozen=True, kw_only=True)
class NetworkShape:
    """What the two networks are built from; all of it integers, so that a snapshot can carry it."""

    channels: int
    base_height: int
    base_width: int
    maps: tuple[int, ...]  # feature maps at each level
    latent_size: int
    label_size: int
    dense_size: int
    dense_layers: int
    factor_sizes: tuple[int, ...]  # values of each label factor; empty: unconditional
    stddev_group: int
    pack: int

    @classmethod
    def of(cls, config: TrainConfig, image_shape: Sequence[int], *, factor_sizes: Sequence[int]) -> "NetworkShape":
        """The networks of a config for images [C, H, W]."""
        channels, height, width = image_shape
        base_height, base_width, doublings = base_shape(height, width, start_resolution=config.start_resolution)
        # at least 8: below, a layer is too narrow to be worth its memory traffic
        maps = [
            max(8, min(config.max_maps, 2 * config.base_maps // (config.start_resolution * 2**level)))
            for level in range(doublings + 1)
        ]
        return cls(
            channels=channels,
            base_height=base_height,
            base_width=base_width,
            maps=tuple(maps),
            latent_size=config.latent_size,
            label_size=config.label_size,
            dense_size=config.dense_size,
            dense_layers=config.dense_layers,
            factor_sizes=tuple(factor_sizes),
            stddev_group=config.stddev_group,
            pack=config.pack,
        )

    @property
    def levels(self) -> int:
        """Resolutions, the base included."""
        return len(self.maps)

    def to_json(self) -> dict[str, Any]:
        """The shape as a JSON object."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "NetworkShape":
        """The inverse of `to_json`."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in value.items()})
