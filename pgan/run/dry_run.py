"""What a run would be, before it is: settings, sizes and phases, for --dry-run."""

from pathlib import Path
from typing import Any

from torch import nn

from pgan.config import TrainConfig
from pgan.networks.layers import count_parameters
from pgan.networks.pyramid import estimate_energies, estimate_scales
from pgan.run.setup import make_network_shape, read_range_sample
from pgan.steps.schedule import Schedule, penalty_weight
from pgan.steps.state import make_networks
from rasterize.imageset import ImageSet

GROWING = ("to_image", "from_image")  # one layer per level, of which a hold uses its own


def describe_dry_run(run_folder: Path, config: TrainConfig) -> dict[str, Any]:
    """Describe a run on RUN/images as JSON: resolved settings, networks, phases; nothing is written."""
    # Settings, networks and gamma are found as `train` finds them.
    images = ImageSet.open(run_folder / "images")
    shape = make_network_shape(config, images)
    generator, discriminator = make_networks(shape, seed=config.seed)
    schedule = Schedule.of(config, height=images.shape[1], width=images.shape[2])
    sample = read_range_sample(images, config.seed)
    energies = estimate_energies(sample, estimate_scales(sample, shape.levels)).tolist()
    # What each resolution costs and how strong its penalty is.
    resolutions = [
        {
            "height": shape.base_height * 2**level,
            "width": shape.base_width * 2**level,
            "maps": shape.maps[level],
            "parameters": {"G": count_parameters_at(generator, level), "D": count_parameters_at(discriminator, level)},
            "gamma": penalty_weight(config, energies[level]),
        }
        for level in range(shape.levels)
    ]
    phases = [
        {
            "phase": schedule.growth_at(int(phase.begin)).phase,
            "from_kimg": phase.begin / 1000,
            "kimg": phase.length / 1000,
        }
        for phase in schedule.phases()
    ]
    return {
        "config": config.to_json(),
        "images": len(images),
        "network": shape.to_json(),
        "parameters": {"G": count_parameters(generator), "D": count_parameters(discriminator)},
        "resolutions": resolutions,
        "phases": phases,
    }


def count_parameters_at(network: nn.Module, level: int) -> int:
    """Count the learnt numbers of G or D that a hold at one level of growth uses."""
    count = 0
    # Of the growing layers a hold uses its own, of the blocks those below its level, of all else everything.
    for name, parameter in network.named_parameters():
        module, _, rest = name.partition(".")
        number = int(rest.split(".")[0]) if module in (*GROWING, "blocks") else None
        used = number is None or (number == level if module in GROWING else number < level)
        count += parameter.numel() * used
    return count
