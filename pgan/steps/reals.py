"""Where batches of reals come from: kept whole on a GPU if they fit, else read ahead; read when asked for on a CPU."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rasterize.imageset import ImageSet

# Most of a GPU's free memory that reals may take. Set by hand to leave room for networks and activations, not swept.
RESIDENT_SHARE = 0.3
CHUNK = 1024  # images copied to the device at a time; set by hand


class RealImages:
    """The images of a set as batches on a device.

    On a GPU they are kept as float16, the type in which image sets are stored: a level of 1 is exact to 0.0005.
    """

    def __init__(self, images: ImageSet, device: torch.device, *, budget: int | None = None) -> None:
        """`budget`: bytes of the device that may be used; by default a share of what is free on a GPU, 0 on a CPU."""
        self._images, self._device = images, device
        self._pinned = device.type == "cuda"
        self._labels = torch.from_numpy(images.labels.astype(np.int64)).to(device)  # [N, F]
        # Keep all images on the device if they fit.
        if budget is None:
            budget = int(RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]) if self._pinned else 0
        size = 2 * len(images) * int(np.prod(images.shape))
        self._levels = self._copy_all() if size <= budget else None  # float16 [N, C, H, W]
        # Else a thread reads the next batch while a GPU is busy with this one.
        self._reader = ThreadPoolExecutor(1) if self._pinned and self._levels is None else None
        self._next: tuple[bytes, Future] | None = None

    def _copy_all(self) -> Tensor:
        """Copy all images to the device, some at a time."""
        levels = torch.empty((len(self._images), *self._images.shape), dtype=torch.float16, device=self._device)
        for begin in range(0, len(levels), CHUNK):
            rows = np.arange(begin, min(begin + CHUNK, len(levels)))
            levels[begin : begin + CHUNK] = torch.from_numpy(self._images.read(rows))
        return levels

    @property
    def resident(self) -> bool:
        """Whether all reals are on the device."""
        return self._levels is not None

    def load_batch(self, rows: NDArray, *, following: NDArray | None = None) -> tuple[Tensor, Tensor | None]:
        """Bring some images to the device.

        Parameters
        ----------
        rows : (n,) int
            Which images of the set.
        following : (m,) int, optional
            The batch that will be asked for next: it is read while the device is busy with this one.

        Returns
        -------
        levels : (n, C, H, W) float32
            The images as they are stored, not standardised.
        labels : (n, F) int64, or None
            None where the set has no factors.
        """
        index = self._to_device(torch.from_numpy(np.asarray(rows, np.int64)))
        labels = self._labels[index] if self._images.factors else None
        # All images are on the device, or they are read when asked for.
        if self._levels is not None:
            return self._levels[index].float(), labels
        if self._reader is None:
            return self._to_device(self._read(rows)), labels
        # Take what was read ahead, if it is this batch; then read the next one ahead.
        expected, ready = self._next or (b"", None)
        levels = ready.result() if expected == rows.tobytes() else self._read(rows)
        self._next = None
        if following is not None:
            self._next = following.tobytes(), self._reader.submit(self._read, following)
        return self._to_device(levels), labels

    def _read(self, rows: NDArray) -> Tensor:
        """Read images into memory that a GPU can fetch from by itself."""
        levels = torch.from_numpy(self._images.read(rows))
        return levels.pin_memory() if self._pinned else levels

    def _to_device(self, values: Tensor) -> Tensor:
        """Copy to the device, without waiting if the memory is pinned."""
        if self._pinned and not values.is_pinned():
            values = values.pin_memory()
        return values.to(self._device, non_blocking=self._pinned)
