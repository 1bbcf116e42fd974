"""Where batches of reals come from: kept whole on a GPU if they fit, else read ahead; read when asked for on a CPU."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rasterize.imageset import ImageSet

RESIDENT_SHARE = 0.3  # most of a GPU's free memory that reals may take
CHUNK = 1024


class RealImages:
    """The images of a set as batches on a device.

    On a GPU they are kept as float16, the type in which image sets are stored: a level of 1 is exact to 0.0005.
    """

    def __init__(self, images: ImageSet, device: torch.device, *, budget: int | None = None) -> None:
        """`budget`: bytes of the device that may be used; by default a share of what is free on a GPU, 0 on a CPU."""
        self._images, self._device = images, device
        self._pinned = device.type == "cuda"
        self._labels = torch.from_numpy(images.labels.astype(np.int64)).to(device)  # [N, F]
        if budget is None:
            budget = int(RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]) if self._pinned else 0
        size = 2 * len(images) * int(np.prod(images.shape))
        self._levels = self._all_levels() if size <= budget else None  # float16 [N, C, H, W]
        self._reader = ThreadPoolExecutor(1) if self._pinned and self._levels is None else None
        self._next: tuple[bytes, Future] | None = None

    def _all_levels(self) -> Tensor:
        levels = torch.empty((len(self._images), *self._images.shape), dtype=torch.float16, device=self._device)
        for begin in range(0, len(levels), CHUNK):
            which = np.arange(begin, min(begin + CHUNK, len(levels)))
            levels[begin : begin + CHUNK] = torch.from_numpy(self._images.read(which))
        return levels

    @property
    def resident(self) -> bool:
        """Whether all reals are on the device."""
        return self._levels is not None

    def batch(self, which: NDArray, *, following: NDArray | None = None) -> tuple[Tensor, Tensor | None]:
        """Levels float32 [n, C, H, W] and labels int64 [n, F] of the images `which`; None without factors.

        `following` is the batch that will be asked for next: it is read while the device is busy with this one.
        """
        index = self._to_device(torch.from_numpy(np.asarray(which, np.int64)))
        labels = self._labels[index] if self._images.factors else None
        if self._levels is not None:
            return self._levels[index].float(), labels
        if self._reader is None:
            return self._to_device(self._read(which)), labels
        asked, found = self._next or (b"", None)
        levels = found.result() if asked == which.tobytes() else self._read(which)
        self._next = None
        if following is not None:
            self._next = following.tobytes(), self._reader.submit(self._read, following)
        return self._to_device(levels), labels

    def _read(self, which: NDArray) -> Tensor:
        levels = torch.from_numpy(self._images.read(which))
        return levels.pin_memory() if self._pinned else levels

    def _to_device(self, values: Tensor) -> Tensor:
        """Without waiting, if the memory is pinned."""
        if self._pinned and not values.is_pinned():
            values = values.pin_memory()
        return values.to(self._device, non_blocking=self._pinned)
