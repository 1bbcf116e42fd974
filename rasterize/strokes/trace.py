"""A stroke over pixels: the exact length inside each pixel it crosses."""

from math import sqrt

import numpy as np

from rasterize.jit import compiled


@compiled()
def trace_segment(x0, y0, x1, y1, height, width, pixels, lengths, middles):
    """Walk a segment from pixel to pixel, and write down its exact length inside each.

    Parts outside the frame are left out. A pixel holds its north and west border, not the other two.

    Parameters
    ----------
    x0, y0, x1, y1 : float
        Start and end, in pixels. Columns grow eastward, rows southward.
    height, width : int
        Size of the frame, in pixels.
    pixels : (n,) int, written
        Flat index (row · width + column) of each pixel met, n ≥ height + width + 4 for all three buffers.
    lengths : (n,) float, written
        Length of the segment inside that pixel, in pixels.
    middles : (n,) float, written
        The middle of that piece, as a share of the segment: 0 at its start, 1 at its end.

    Returns
    -------
    int
        How many entries were written; 0 for a segment without length.

    Notes
    -----
    J. Amanatides and A. Woo, "A Fast Voxel Traversal Algorithm for Ray Tracing", Eurographics 1987. The lengths add up
    to the length of the segment at every angle, so no direction is brighter than another.

    Examples
    --------
    A segment of length 5 over 4 × 6 pixels. To paint it, add its lengths at its pixels:

    >>> pixels, lengths, middles = np.zeros(14, int), np.zeros(14), np.zeros(14)
    >>> count = trace_segment(0.5, 0.5, 4.5, 3.5, 4, 6, pixels, lengths, middles)
    >>> image = np.zeros(4 * 6)
    >>> np.add.at(image, pixels[:count], lengths[:count])
    >>> image.reshape(4, 6).round(2)
    array([[0.62, 0.21, 0.  , 0.  , 0.  , 0.  ],
           [0.  , 1.04, 0.62, 0.  , 0.  , 0.  ],
           [0.  , 0.  , 0.62, 1.04, 0.  , 0.  ],
           [0.  , 0.  , 0.  , 0.21, 0.62, 0.  ]])
    """
    # Length of the segment; what has none meets no pixel.
    dx, dy = x1 - x0, y1 - y0
    total = sqrt(dx * dx + dy * dy)
    if total == 0.0:
        return 0

    # Initialise: the first pixel, the steps, and the shares t at which the first borders are crossed (tMax).
    # Two vertical borders lie delta_x of the segment apart (tDelta), two horizontal ones delta_y.
    column, row = int(np.floor(x0)), int(np.floor(y0))
    step_x, step_y = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
    delta_x = abs(1.0 / dx) if dx != 0 else np.inf
    delta_y = abs(1.0 / dy) if dy != 0 else np.inf
    max_x = ((column + 1 - x0) if dx > 0 else (x0 - column)) * delta_x if dx != 0 else np.inf
    max_y = ((row + 1 - y0) if dy > 0 else (y0 - row)) * delta_y if dy != 0 else np.inf

    # Traverse: write the piece up to the nearer border, then step over that border.
    count, entry = 0, 0.0
    while entry < 1.0:
        leave = min(max_x, max_y, 1.0)
        if leave > entry and 0 <= column < width and 0 <= row < height:
            pixels[count] = row * width + column
            lengths[count] = (leave - entry) * total
            middles[count] = (leave + entry) / 2
            count += 1
        entry = max(entry, leave)
        if max_x <= max_y:
            max_x += delta_x
            column += step_x
        else:
            max_y += delta_y
            row += step_y
    return count


@compiled()
def trace_path(xs, ys, height, width, pixels, lengths, middles):
    """Walk a polyline as `trace_segment` walks a segment, with `middles` as shares of the whole path.

    Parameters
    ----------
    xs, ys : (M,) float
        The waypoints, in pixels.
    height, width : int
        Size of the frame, in pixels.
    pixels, lengths, middles : (n,) int, float, float, written
        See `trace_segment`; n ≥ (M − 1) · (height + width + 4).

    Returns
    -------
    int
        How many entries were written; 0 for a path without length.
    """
    # Length of the whole path.
    total = 0.0
    for k in range(len(xs) - 1):
        total += sqrt((xs[k + 1] - xs[k]) ** 2 + (ys[k + 1] - ys[k]) ** 2)

    # Trace leg by leg, and turn shares of a leg into shares of the path.
    count, gone = 0, 0.0
    for k in range(len(xs) - 1):
        leg = sqrt((xs[k + 1] - xs[k]) ** 2 + (ys[k + 1] - ys[k]) ** 2)
        if leg == 0.0:
            continue
        added = trace_segment(
            xs[k], ys[k], xs[k + 1], ys[k + 1], height, width, pixels[count:], lengths[count:], middles[count:]
        )
        for i in range(count, count + added):
            middles[i] = (gone + middles[i] * leg) / total
        count += added
        gone += leg
    return count


@compiled()
def split_halves(count, lengths, middles, unit, halves):
    """Share each piece between A, the origin's half of a trip, and B, the destination's.

    Parameters
    ----------
    count : int
        How many pieces there are.
    lengths, middles : (n,) float
        Length and position t of each piece, from `trace_segment` or `trace_path`.
    unit : float32
        Level of a pixel of length.
    halves : (n, 2) float32, written
        Levels in A and B: length · (1 − t) and length · t, times `unit`.
    """
    for i in range(count):
        halves[i, 0] = unit * lengths[i] * (1 - middles[i])
        halves[i, 1] = unit * lengths[i] * middles[i]
