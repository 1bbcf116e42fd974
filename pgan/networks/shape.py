"""The sizes that generator and discriminator are built from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pgan.config import TrainConfig, find_base_shape


@dataclass(frozen=True, kw_only=True)
class NetworkShape:
    """What the two networks are built from; all of it integers, so that a snapshot can carry it.

    Attributes
    ----------
    channels : int
        Planes of an image.
    base_height, base_width : int
        Pixels of an image at level 0.
    maps : tuple of int
        Feature maps at each level.
    latent_size, label_size : int
        Numbers in a latent, and numbers that a label becomes for G.
    dense_size, dense_layers : int
        Width of the dense layers of both, and how many G has before its first picture.
    factor_sizes : tuple of int
        Values of each label factor; empty where images have no labels.
    stddev_group, pack : int
        Images of a minibatch-stddev group, and images that D scores together.
    """

    channels: int
    base_height: int
    base_width: int
    maps: tuple[int, ...]
    latent_size: int
    label_size: int
    dense_size: int
    dense_layers: int
    factor_sizes: tuple[int, ...]
    stddev_group: int
    pack: int

    @classmethod
    def of(cls, config: TrainConfig, image_shape: Sequence[int], *, factor_sizes: Sequence[int]) -> "NetworkShape":
        """Choose the sizes of the networks of a config.

        Parameters
        ----------
        config : TrainConfig
            All settings.
        image_shape : (C, H, W)
            Planes and pixels of a full-size image.
        factor_sizes : sequence of int
            Values of each label factor.

        Returns
        -------
        NetworkShape
            Feature maps as in Karras et al. 2018: base_maps / 2^stage, at most max_maps.

        Raises
        ------
        InputError
            The size cannot be reached by doubling.
        """
        channels, height, width = image_shape
        base_height, base_width, doublings = find_base_shape(height, width, start_resolution=config.start_resolution)
        # At least 8: below, a layer is too narrow to be worth its memory traffic. Set by hand, not swept.
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
        """How many levels of growth there are, the base included."""
        return len(self.maps)

    def to_json(self) -> dict[str, Any]:
        """Return the shape as a JSON object."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "NetworkShape":
        """Read what `to_json` returned."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in value.items()})
