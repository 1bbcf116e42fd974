"""Pictures for people: grids of fixed latents while G grows, and the timelapse made of them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

from pgan.networks.layers import upsample
from pgan.networks.pyramid import MARK
from pgan.steps.schedule import Growth
from rasterize.files import write_atomically

CELL_PIXELS = 64  # a cell is at least half as large
COLUMNS = 8
CAPTION_PIXELS = 24
TIMELAPSE_FRAMES = 150
# The first two are complementary: together they are white, and a shift from one to the other is a change of hue.
COLOURS = ((1.0, 0.5, 0.0), (0.0, 0.5, 1.0), (0.1, 0.9, 0.1), (0.9, 0.1, 0.9))


def colour_planes(images: Tensor) -> Tensor:
    """Turn standardised images [N, C, H, W] into RGB [N, 3, H, W] in [0, 1].

    One channel is grey and three are red, green and blue. Else the first four glow in orange, azure, green and magenta,
    and further ones are left out: all together they would be white.
    """
    # A colour for each channel; they add up like lights.
    channels = images.shape[1]
    if channels == 1:
        palette = torch.ones(1, 3)
    elif channels == 3:
        palette = torch.eye(3)
    else:
        palette = torch.tensor(COLOURS[:channels])
    shares = images[:, : len(palette)].float() / MARK
    return torch.einsum("nchw,cr->nrhw", shares, palette).clamp(0, 1)


def draw_grid(images: Tensor, *, height: int, width: int, caption: str) -> Image.Image:
    """Draw a captioned grid of images, each enlarged to the same size at every level of growth.

    Parameters
    ----------
    images : (N, C, h, w) float32
        Standardised images of any level.
    height, width : int
        Pixels of a full-size image.
    caption : str
        A line above the grid.

    Returns
    -------
    Image
        RGB, COLUMNS images to a row.
    """
    # Enlarge the images to full size, then their pixels to something one can see.
    while images.shape[2] < height:
        images = upsample(images)
    factor = max(1, CELL_PIXELS // max(height, width))
    cells = colour_planes(images).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    # Put them side by side, below a line of text.
    grid = make_grid(cells, nrow=COLUMNS, padding=2, pad_value=0.3)
    pixels = (grid.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    picture = Image.new("RGB", (pixels.shape[1], pixels.shape[0] + CAPTION_PIXELS))
    picture.paste(Image.fromarray(pixels), (0, CAPTION_PIXELS))
    ImageDraw.Draw(picture).text((6, 3), caption, fill="white", font=ImageFont.load_default(16))
    return picture


def make_caption(growth: Growth, nimg: int) -> str:
    """Say in words where a run stands: resolution, alpha and kimg."""
    alpha = f"alpha {growth.alpha:.2f}   " if growth.fading else ""
    return f"{growth.height}x{growth.width} px   {alpha}{nimg / 1000:.1f} kimg"


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG, atomically."""
    with write_atomically(path) as temporary:
        picture.save(temporary, optimize=True)


def save_timelapse(folder: Path, path: Path) -> None:
    """Write the pictures of `folder`, in order of their names, as an animated GIF of at most TIMELAPSE_FRAMES."""
    names = sorted(folder.glob("*.png"))
    if not names:
        return
    # Take as many as allowed, evenly, first and last included.
    chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, TIMELAPSE_FRAMES).round().astype(int))]
    frames = [Image.open(name).convert("P", palette=Image.Palette.ADAPTIVE, colors=128) for name in chosen]
    durations = [200] * (len(frames) - 1) + [3000]  # milliseconds; the last one stays
    with write_atomically(path) as temporary:
        frames[0].save(temporary, save_all=True, append_images=frames[1:], duration=durations, loop=0)
