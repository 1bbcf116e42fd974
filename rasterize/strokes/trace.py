"""A stroke over pixels: the exact length inside each pixel it crosses."""

from math import sqrt

import numpy as np

from rasterize.jit import compiled


@compiled()
def trace(x0, y0, x1, y1, height, width, pixels, lengths, middles):
    """Walk a segment over the pixel borders it crosses (Amanatides & Woo 1987).

    Writes, for each pixel met, its flat index, the exact length of the segment inside it (in pixels) and the
    middle of that piece as a share of the segment (0 at the start, 1 at the end). Pieces outside the frame are
    left out. Returns how many were written; the buffers need height + width + 4 places.
    """
    dx, dy = x1 - x0, y1 - y0
    total = sqrt(dx * dx + dy * dy)
    if total == 0.0:
        return 0
    column, row = int(np.floor(x0)), int(np.floor(y0))
    step_x, step_y = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
    across_x = abs(1.0 / dx) if dx != 0 else np.inf  # share of the segment between two vertical borders
    across_y = abs(1.0 / dy) if dy != 0 else np.inf
    next_x = ((column + 1 - x0) if dx > 0 else (x0 - column)) * across_x if dx != 0 else np.inf
    next_y = ((row + 1 - y0) if dy > 0 else (y0 - row)) * across_y if dy != 0 else np.inf
    count, here = 0, 0.0
    while here < 1.0:
        there = min(next_x, next_y, 1.0)
        if there > here and 0 <= column < width and 0 <= row < height:
            pixels[count] = row * width + column
            lengths[count] = (there - here) * total
            middles[count] = (there + here) / 2
            count += 1
        here = max(here, there)
        if next_x <= next_y:
            next_x += across_x
            column += step_x
        else:
            next_y += across_y
            row += step_y
    return count


@compiled()
def trace_path(xs, ys, height, width, pixels, lengths, middles):
    """`trace` over a polyline: `middles` run from 0 to 1 over its whole length. Returns how many were written."""
    total = 0.0
    for k in range(len(xs) - 1):
        total += sqrt((xs[k + 1] - xs[k]) ** 2 + (ys[k + 1] - ys[k]) ** 2)
    count, gone = 0, 0.0
    for k in range(len(xs) - 1):
        piece = sqrt((xs[k + 1] - xs[k]) ** 2 + (ys[k + 1] - ys[k]) ** 2)
        if piece == 0.0:
            continue
        added = trace(
            xs[k], ys[k], xs[k + 1], ys[k + 1], height, width, pixels[count:], lengths[count:], middles[count:]
        )
        for i in range(count, count + added):
            middles[i] = (gone + middles[i] * piece) / total
        count += added
        gone += piece
    return count


@compiled()
def halve(count, lengths, middles, unit, halves):
    """Lengths and positions along the trip, from `trace` → weights in A and B."""
    for i in range(count):
        halves[i, 0] = unit * lengths[i] * (1 - middles[i])
        halves[i, 1] = unit * lengths[i] * middles[i]
