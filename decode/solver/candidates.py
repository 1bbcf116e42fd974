"""Which trips may have painted an image: pairs of places with blobs at their ends and a stroke painted between them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decode.solver.forward_model import ForwardModel, merge_short
from rasterize.jit import compiled
from rasterize.strokes.trace import split_halves, trace_path, trace_segment

# Room per image. Of more candidates than this the best supported ones stay.
MAX_CANDIDATES = 4000
MAX_PIECES = 400_000  # of their strokes

# The thresholds below were set by hand and not swept. The tables of docs/benchmarks/codec.md were measured with them.
# Blobs, in trips: a place whose blob holds less is no end; with less in its pixels it is not even looked at.
BLOB_THRESHOLD = 0.3
BLOB_SUSPECTED = 0.15
# With one trip per image: a place whose blob is fainter than this share of the strongest is no end.
SHARE_OF_STRONGEST = 0.3
# Share of a stroke that must be painted: between two blobs; from a single blob; the same with one trip per image.
SUPPORT = 0.45
SUPPORT_ALONE, SUPPORT_OF_ONLY = 0.75, 0.3
# A first look at a stroke takes every eighth piece. It may see this much less of the stroke than all pieces show.
STRIDE, SLACK = 8, 0.25
# Level around a place without a blob that makes it an end, as a share of a full line's.
END_LEVEL = 0.4


class CandidateBuffers(NamedTuple):
    """Hold the candidates of one image and their strokes; the memory is used again for every image.

    Attributes
    ----------
    ends : (M, 3) int32
        Origin, destination and route of each candidate; route −1 is a straight stroke.
    local : (M, 2) int32
        The same ends as indices into the image's own lists of origins and destinations.
    starts : (M + 1,) int64
        The pieces of candidate j are `starts[j]` … `starts[j + 1]`.
    pixels : (Q,) int32
        Flat pixel of each piece.
    halves : (Q, 2) float32
        Weights of each piece in the planes A and B; together they are its length in pixels.
    lengths, middles : (L,) float64
        Buffers of `trace`.
    """

    ends: NDArray
    local: NDArray
    starts: NDArray
    pixels: NDArray
    halves: NDArray
    lengths: NDArray
    middles: NDArray


def make_buffers(model: ForwardModel) -> CandidateBuffers:
    """Return memory for the candidates of any image of a forward model."""
    longest = int(np.diff(model.route_offsets).max(initial=1)) * (model.atlas.height + model.atlas.width + 4)
    return CandidateBuffers(
        ends=np.empty((MAX_CANDIDATES, 3), np.int32),
        local=np.empty((MAX_CANDIDATES, 2), np.int32),
        starts=np.zeros(MAX_CANDIDATES + 1, np.int64),
        pixels=np.empty(MAX_PIECES + longest, np.int32),
        halves=np.empty((MAX_PIECES + longest, 2), np.float32),
        lengths=np.empty(longest),
        middles=np.empty(longest),
    )


@compiled()
def blob_amplitudes(plane, atlas, least):
    """Return how many trips per place explain one plane of blobs.

    Parameters
    ----------
    plane : (area,) float32
        One plane of blobs in the padded frame, in units of a stroke.
    atlas : Atlas
        Places and their blobs.
    least : float32
        Trips. A place where fewer seem to be painted is left out.

    Returns
    -------
    (P,) float32
        Trips per place, none negative; 0 at places left out.

    Notes
    -----
    Non-negative least squares, min ‖plane − Σ x_p blob_p‖² with x ≥ 0, by cyclic coordinate descent: each step sets
    x_p to max(0, x_p + ⟨blob_p, residual⟩ / ‖blob_p‖²) and mends the residual.
    """
    places, taps = atlas.blobs.shape
    residual = plane.copy()
    amplitude, norm = np.zeros(places, np.float32), np.zeros(places, np.float32)
    active, count = np.empty(places, np.int64), 0
    # Keep the places where the plane looks like a blob (matched filter).
    for p in range(places):
        matched = np.float32(0)
        for i in range(taps):
            matched += atlas.blobs[p, i] * plane[atlas.blobs_at[p, i]]
            norm[p] += atlas.blobs[p, i] ** 2
        if matched > least * norm[p]:
            active[count] = p
            count += 1
    # Sweep over them until no amplitude changes.
    for _ in range(100):
        largest = np.float32(0)
        for k in range(count):
            p = active[k]
            slope = np.float32(0)
            for i in range(taps):
                slope += atlas.blobs[p, i] * residual[atlas.blobs_at[p, i]]
            change = max(-amplitude[p], slope / norm[p])
            if change != 0:
                amplitude[p] += change
                largest = max(largest, abs(change))
                for i in range(taps):
                    residual[atlas.blobs_at[p, i]] -= change * atlas.blobs[p, i]
        if largest < 3e-3:
            break
    return amplitude


@compiled()
def _highest_level_around(place, half, field, model):
    """Return the highest level of one half around a place (nine pixels), as a share of a full line's."""
    width = model.atlas.width
    column, row = int(model.atlas.place_xy[place, 0]), int(model.atlas.place_xy[place, 1])
    highest = np.float32(0)
    for y in range(max(0, row - 1), min(model.atlas.height, row + 2)):
        for x in range(max(0, column - 1), min(width, column + 2)):
            highest = max(highest, field[2 * (y * width + x) + half])
    return highest / model.peak if model.peak > 0 else highest


@compiled()
def find_ends(amplitudes, half, field, model, trips_per_image, with_faint):
    """Return the places that may be an end: those with a blob, then those where a stroke seems to end.

    Parameters
    ----------
    amplitudes : (P,) float32
        Trips per place that its blobs tell, see `blob_amplitudes`.
    half : int
        0 for origins (plane A), 1 for destinations (plane B).
    field : (2 · area,) float32
        The planes A and B after the blur, alternating.
    model : ForwardModel
        In a grey picture every place may be an end.
    trips_per_image : int
        With one, a blob may be as faint as the generator paints it.
    with_faint : bool
        Whether places without a blob are looked at.

    Returns
    -------
    places : (L,) int32
        Those with a blob come first.
    with_blob : int
        How many of them have a blob.
    """
    places = len(amplitudes)
    ends, count = np.empty(places, np.int32), 0
    # A single trip may be painted faintly, so its blobs are compared with the strongest one.
    strongest = np.float32(0)
    for p in range(places):
        strongest = max(strongest, amplitudes[p])
    least = np.float32(BLOB_THRESHOLD)
    if trips_per_image == 1:
        least = np.float32(max(model.faintest, SHARE_OF_STRONGEST * strongest))
    for p in range(places):
        if model.grey or amplitudes[p] > least:
            ends[count] = p
            count += 1
    # Blobs that were lost: the stroke still shows its half around the place.
    with_blob = count
    if with_faint and not model.grey:
        for p in range(places):
            if amplitudes[p] <= least and _highest_level_around(p, half, field, model) > END_LEVEL:
                ends[count] = p
                count += 1
    return ends[:count], with_blob


@compiled()
def _is_painted(first, last, pixels, halves, field, peak, least):
    """Return whether the share `least` of a stroke is painted where it must be, as strongly as it must be."""
    # Most strokes that were not painted show it at every eighth piece.
    is_long = last - first >= 3 * STRIDE
    if is_long and _painted_share(first, last, STRIDE, pixels, halves, field, peak) < least - SLACK:
        return False
    return _painted_share(first, last, 1, pixels, halves, field, peak) >= least


@compiled()
def _painted_share(first, last, stride, pixels, halves, field, peak):
    """Return the share of a stroke that is painted, estimated from one in `stride` of its pieces."""
    painted, total, none = np.float32(0), np.float32(1e-9), np.float32(0)
    steepness = np.float32(1) / peak if peak > 0 else np.float32(0)
    for i in range(np.uint64(first), np.uint64(last), np.uint64(stride)):
        p, a, b = np.uint64(2) * np.uint64(np.uint32(pixels[i])), halves[i, 0], halves[i, 1]
        # A blurred line is equally high everywhere; a sharp one is as high as it is long in the pixel.
        scale = (a + b) * steepness if peak > 0 else np.float32(1)
        painted += min(max(none, field[p] * scale), a) + min(max(none, field[p + np.uint64(1)] * scale), b)
        total += a + b
    return painted / total


@compiled()
def place_stroke(origin, destination, route, first, buffers, model):
    """Write the pieces of a candidate's stroke into the buffers, from piece `first`.

    Parameters
    ----------
    origin, destination : int
        Places. A straight round trip has no pieces; in a grey picture its pieces are its blob.
    route : int
        Index of the route that is followed, −1 for a straight stroke.
    first : int
        Where the first piece goes.
    buffers : CandidateBuffers
        `pixels` and `halves` are written.
    model : ForwardModel
        Places, routes and the table of straight strokes.

    Returns
    -------
    int
        Where the pieces end.
    """
    atlas, places = model.atlas, len(model.atlas.place_xy)
    # Along a route.
    if route >= 0:
        path = model.route_points[model.route_offsets[route] : model.route_offsets[route + 1]]
        pixels, halves = buffers.pixels[first:], buffers.halves[first:]
        count = trace_path(path[:, 0], path[:, 1], atlas.height, atlas.width, pixels, buffers.lengths, buffers.middles)
        split_halves(count, buffers.lengths, buffers.middles, np.float32(1), halves)
    # A round trip without a route has no stroke. A grey picture shows its blob in the one plane.
    elif origin == destination and model.grey:
        count = model.sharp.shape[1]
        for i in range(count):
            buffers.pixels[first + i] = model.sharp_at[origin, i]
            buffers.halves[first + i, 0] = model.sharp[origin, i]
            buffers.halves[first + i, 1] = 0
        return first + count
    # Where strokes bend, a straight one says nothing.
    elif model.bent or origin == destination:
        return first
    # Straight: from the table where there is one, else traced.
    elif len(atlas.starts) > 1:
        pair = origin * places + destination
        begin, end = atlas.starts[pair], atlas.starts[pair + 1]
        return _copy_pieces(begin, end, atlas.pixels, atlas.halves, first, buffers.pixels, buffers.halves)
    else:
        (x0, y0), (x1, y1) = atlas.place_xy[origin], atlas.place_xy[destination]
        count = trace_segment(
            x0, y0, x1, y1, atlas.height, atlas.width, buffers.pixels[first:], buffers.lengths, buffers.middles
        )
        split_halves(count, buffers.lengths, buffers.middles, np.float32(1), buffers.halves[first:])
    # Bring traced pieces into the form of the table: short ones merged, both halves in one plane if grey.
    if len(model.soft) > 1:
        count = merge_short(first, count, buffers.pixels, buffers.halves)
    if model.grey:
        for i in range(first, first + count):
            buffers.halves[i, 0] += buffers.halves[i, 1]
            buffers.halves[i, 1] = 0
    return first + count


@compiled()
def _consider(i, k, route, count, origin, destination, least, field, model, buffers):
    """Take a trip as candidate `count` if `least` of its stroke is painted; return the new count, −1 without room."""
    first = buffers.starts[count]
    last = place_stroke(origin, destination, route, first, buffers, model)
    is_stroke = last > first and (origin != destination or route >= 0)
    if is_stroke and not _is_painted(first, last, buffers.pixels, buffers.halves, field, model.peak, least):
        return count
    return _register(count, last, (i, k), (origin, destination, route), buffers.ends, buffers.local, buffers.starts)


@compiled()
def _register(count, last, local_pair, trip, ends, local, starts):
    """Note candidate `count`, whose pieces end at `last`; return the new count, −1 if there is no more room."""
    if count + 1 >= MAX_CANDIDATES or last > MAX_PIECES:
        return -1
    ends[count, 0], ends[count, 1], ends[count, 2] = trip
    local[count, 0], local[count, 1] = local_pair
    starts[count + 1] = last
    return count + 1


@compiled()
def _copy_pieces(first, last, pixels, halves, at, to_pixels, to_halves):
    """Copy pieces `first` … `last` to `at`; return where they end."""
    for i in range(last - first):
        to_pixels[at + i] = pixels[first + i]
        to_halves[at + i, 0], to_halves[at + i, 1] = halves[first + i, 0], halves[first + i, 1]
    return at + last - first


@compiled()
def find_candidates(origins, destinations, field, model, buffers, both, alone):
    """Fill `buffers` with the trips between possible ends whose stroke is painted.

    Parameters
    ----------
    origins, destinations : ((L,) int32, int)
        Places and how many of them have a blob, see `find_ends`.
    field : (2 · area,) float32
        The planes A and B after the blur, alternating.
    model : ForwardModel
        Places, routes and the table of strokes.
    buffers : CandidateBuffers
        Is overwritten.
    both, alone : float
        Share of a stroke that must be painted if both its ends have a blob, or only one of them.

    Returns
    -------
    int
        How many candidates there are.

    Notes
    -----
    If there are too many, both shares are raised half-way to 1. This is repeated until `MAX_CANDIDATES` are enough.
    """
    raised, count = 0.0, -1
    while count < 0 and raised < 0.999:
        count = _consider_all(origins, destinations, field, model, buffers, both, alone, raised)
        raised += (1 - raised) / 2
    return max(count, 0)


@compiled()
def _consider_all(origins, destinations, field, model, buffers, both, alone, raised):
    """Consider every pair of ends once; return how many candidates there are, −1 if there are too many."""
    places, count, with_routes = len(model.atlas.place_xy), 0, len(model.route_keys) > 0
    tabled = len(model.atlas.starts) > 1 and not model.bent
    # Arrays are taken out of their tuples once: a call with a tuple costs more than most strokes.
    starts, pixels, halves, peak = model.atlas.starts, model.atlas.pixels, model.atlas.halves, model.peak
    ends, local, piece_starts, piece_pixels, piece_halves = (
        buffers.ends,
        buffers.local,
        buffers.starts,
        buffers.pixels,
        buffers.halves,
    )
    for i in range(len(origins[0])):
        for k in range(len(destinations[0])):
            # At least one end needs a blob, and a round trip both. Grey pictures show a → b and b → a alike.
            origin, destination = origins[0][i], destinations[0][k]
            blobs = (i < origins[1]) + (k < destinations[1])
            if blobs == 0 or (model.grey and destination < origin) or (origin == destination and blobs < 2):
                continue
            least = both if blobs == 2 else alone
            least += raised * (1 - least)
            pair = np.int64(origin) * places + destination
            # The usual case: look at the stroke where the table has it, and copy it only if it is painted.
            if tabled and origin != destination:
                begin, end = starts[pair], starts[pair + 1]
                if not _is_painted(begin, end, pixels, halves, field, peak, least):
                    continue
                last = _copy_pieces(begin, end, pixels, halves, piece_starts[count], piece_pixels, piece_halves)
                count = _register(count, last, (i, k), (origin, destination, -1), ends, local, piece_starts)
            # Else each known route between the two places is a candidate of its own.
            else:
                first = last = 0
                if with_routes:
                    first, last = np.searchsorted(model.route_keys, pair), np.searchsorted(model.route_keys, pair + 1)
                if first == last:
                    count = _consider(i, k, -1, count, origin, destination, least, field, model, buffers)
                for route in range(first, last):
                    if count >= 0:
                        count = _consider(i, k, route, count, origin, destination, least, field, model, buffers)
            if count < 0:
                return -1
    return count
