"""Which trips may have painted an image: pairs of places with blobs at their ends and a stroke painted between them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decode.solver.forward_model import ForwardModel, merge_short
from rasterize.jit import compiled
from rasterize.strokes.trace import split_halves, trace_path, trace_segment

MAX_CANDIDATES = 4000  # per image; the best supported ones if there are more
PIECES = 400_000  # room for their strokes
BLOB_THRESHOLD = 0.3  # trips: a place whose blob holds less is no end
BLOB_SUSPECTED = 0.15  # trips: a place with less in its pixels is not looked at
SHARE_OF_STRONGEST = 0.3  # with one trip per image: a place whose blob is fainter than this share is no end
SUPPORT = 0.45
SUPPORT_ALONE, SUPPORT_OF_ONLY = 0.75, 0.3
STRIDE, SLACK = 8, 0.25  # of a first look at a stroke, and how much less of it may seem to be painted there
EVIDENCE = 0.4  # of a full line: level around a place without a blob that makes it an end


class CandidateBuffers(NamedTuple):
    """Room for the candidates of one image, and how each looks; used again for every image.

    ends : int32 [M, 3], origin, destination, route (−1: straight). local : int32 [M, 2], the same ends as indices into
    the image's own lists of origins and destinations. starts : int64 [M + 1] into pixels int32 [Q], halves
    float32 [Q, 2]. lengths, middles : float64, buffers of `trace_segment`.
    """

    ends: NDArray
    local: NDArray
    starts: NDArray
    pixels: NDArray
    halves: NDArray
    lengths: NDArray
    middles: NDArray


def make_buffers(model: ForwardModel) -> CandidateBuffers:
    """Room for the candidates of any image of a scene."""
    longest = int(np.diff(model.route_offsets).max(initial=1)) * (model.atlas.height + model.atlas.width + 4)
    return CandidateBuffers(
        ends=np.empty((MAX_CANDIDATES, 3), np.int32),
        local=np.empty((MAX_CANDIDATES, 2), np.int32),
        starts=np.zeros(MAX_CANDIDATES + 1, np.int64),
        pixels=np.empty(PIECES + longest, np.int32),
        halves=np.empty((PIECES + longest, 2), np.float32),
        lengths=np.empty(longest),
        middles=np.empty(longest),
    )


@compiled()
def blob_amplitudes(plane, atlas, least):
    """Trips per place that explain one plane of blobs: NNLS by coordinate descent, float32 [P].

    Places where less than `least` trips seem to be painted have none.
    """
    places, taps = atlas.blobs.shape
    residual = plane.copy()
    amplitude, norm = np.zeros(places, np.float32), np.zeros(places, np.float32)
    active, count = np.empty(places, np.int64), 0
    for p in range(places):
        matched = np.float32(0)
        for i in range(taps):
            matched += atlas.blobs[p, i] * plane[atlas.blobs_at[p, i]]
            norm[p] += atlas.blobs[p, i] ** 2
        if matched > least * norm[p]:
            active[count] = p
            count += 1
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
def _level_around(place, half, field, model):
    """The highest level of one half in the nine pixels around a place, as a share of a full line's."""
    width = model.atlas.width
    column, row = int(model.atlas.place_xy[place, 0]), int(model.atlas.place_xy[place, 1])
    highest = np.float32(0)
    for y in range(max(0, row - 1), min(model.atlas.height, row + 2)):
        for x in range(max(0, column - 1), min(width, column + 2)):
            highest = max(highest, field[2 * (y * width + x) + half])
    return highest / model.peak if model.peak > 0 else highest


@compiled()
def find_ends(load, half, field, model, trips_per_image, with_faint):
    """Places that may be an end: those with a blob, then (if `with_faint`) those where a stroke seems to end.

    load : float32 [P], trips per place as its blobs tell. half : 0 for origins, 1 for destinations. Returns the places
    and how many of them have a blob. In a grey picture every place may be an end.
    """
    places = len(load)
    found, count = np.empty(places, np.int32), 0
    strongest = np.float32(0)
    for p in range(places):
        strongest = max(strongest, load[p])
    least = np.float32(BLOB_THRESHOLD)
    if trips_per_image == 1:  # however faintly the generator painted it
        least = np.float32(max(model.faintest, SHARE_OF_STRONGEST * strongest))
    for p in range(places):
        if model.grey or load[p] > least:
            found[count] = p
            count += 1
    with_blob = count
    if with_faint and not model.grey:
        for p in range(places):
            if load[p] <= least and _level_around(p, half, field, model) > EVIDENCE:
                found[count] = p
                count += 1
    return found[:count], with_blob


@compiled()
def _is_painted(first, last, pixels, halves, field, peak, least):
    """Whether the share `least` of a stroke is painted, where and as strongly as it must be.

    Most strokes that are not show it at every eighth pixel.
    """
    is_long = last - first >= 3 * STRIDE
    if is_long and _painted_share(first, last, STRIDE, pixels, halves, field, peak) < least - SLACK:
        return False
    return _painted_share(first, last, 1, pixels, halves, field, peak) >= least


@compiled()
def _painted_share(first, last, stride, pixels, halves, field, peak):
    """Share of every so manieth piece of a stroke that is painted."""
    there, whole, none = np.float32(0), np.float32(1e-9), np.float32(0)
    steepness = np.float32(1) / peak if peak > 0 else np.float32(0)
    for i in range(np.uint64(first), np.uint64(last), np.uint64(stride)):
        p, a, b = np.uint64(2) * np.uint64(np.uint32(pixels[i])), halves[i, 0], halves[i, 1]
        # a blurred line is equally high everywhere, a sharp one as high as it is long in the pixel
        scale = (a + b) * steepness if peak > 0 else np.float32(1)
        there += min(max(none, field[p] * scale), a) + min(max(none, field[p + np.uint64(1)] * scale), b)
        whole += a + b
    return there / whole


@compiled()
def place_stroke(origin, destination, route, first, buffers, model):
    """Write the pieces of a candidate at `first`; returns where they end. A straight round trip has none.

    In a grey picture a round trip is its blob.
    """
    atlas, places = model.atlas, len(model.atlas.place_xy)
    if route >= 0:
        path = model.route_points[model.route_offsets[route] : model.route_offsets[route + 1]]
        pixels, halves = buffers.pixels[first:], buffers.halves[first:]
        count = trace_path(path[:, 0], path[:, 1], atlas.height, atlas.width, pixels, buffers.lengths, buffers.middles)
        split_halves(count, buffers.lengths, buffers.middles, np.float32(1), halves)
    elif origin == destination and model.grey:
        count = model.sharp.shape[1]
        for i in range(count):
            buffers.pixels[first + i] = model.sharp_at[origin, i]
            buffers.halves[first + i, 0] = model.sharp[origin, i]
            buffers.halves[first + i, 1] = 0
        return first + count
    elif model.bent or origin == destination:
        return first
    elif len(atlas.starts) > 1:
        pair = origin * places + destination
        begin, end = atlas.starts[pair], atlas.starts[pair + 1]
        return _copy(begin, end, atlas.pixels, atlas.halves, first, buffers.pixels, buffers.halves)
    else:
        (x0, y0), (x1, y1) = atlas.place_xy[origin], atlas.place_xy[destination]
        count = trace_segment(
            x0, y0, x1, y1, atlas.height, atlas.width, buffers.pixels[first:], buffers.lengths, buffers.middles
        )
        split_halves(count, buffers.lengths, buffers.middles, np.float32(1), buffers.halves[first:])
    if len(model.soft) > 1:
        count = merge_short(first, count, buffers.pixels, buffers.halves)
    if model.grey:
        for i in range(first, first + count):
            buffers.halves[i, 0] += buffers.halves[i, 1]
            buffers.halves[i, 1] = 0
    return first + count


@compiled()
def _consider(i, k, route, count, origin, destination, least, field, model, buffers):
    """Take one trip as candidate `count` if its stroke is painted to the share `least`; returns the new count.

    −1: there is no more room.
    """
    first = buffers.starts[count]
    last = place_stroke(origin, destination, route, first, buffers, model)
    is_stroke = last > first and (origin != destination or route >= 0)
    if is_stroke and not _is_painted(first, last, buffers.pixels, buffers.halves, field, model.peak, least):
        return count
    return _register(count, last, (i, k), (origin, destination, route), buffers.ends, buffers.local, buffers.starts)


@compiled()
def _register(count, last, here, trip, ends, local, starts):
    """Note candidate `count`, whose pieces end at `last`; returns the new count, −1 if there is no more room."""
    if count + 1 >= MAX_CANDIDATES or last > PIECES:
        return -1
    ends[count, 0], ends[count, 1], ends[count, 2] = trip
    local[count, 0], local[count, 1] = here
    starts[count + 1] = last
    return count + 1


@compiled()
def _copy(first, last, pixels, halves, at, to_pixels, to_halves):
    """Copy pieces `first` … `last` to `at`; returns where they end."""
    for i in range(last - first):
        to_pixels[at + i] = pixels[first + i]
        to_halves[at + i, 0], to_halves[at + i, 1] = halves[first + i, 0], halves[first + i, 1]
    return at + last - first


@compiled()
def find_candidates(origins, destinations, field, model, buffers, both, alone):
    """Fill `buffers` with trips between possible ends whose stroke is painted; returns how many.

    origins, destinations : (places, how many of them have a blob), see `find_ends`. A trip whose two ends have a blob
    needs a stroke painted to the share `both`, one with a single blob to the share `alone`. If there are too many, the
    shares are raised until `MAX_CANDIDATES` remain.
    """
    raised, count = 0.0, -1
    while count < 0 and raised < 0.999:
        count = _consider_all(origins, destinations, field, model, buffers, both, alone, raised)
        raised += (1 - raised) / 2
    return max(count, 0)


@compiled()
def _consider_all(origins, destinations, field, model, buffers, both, alone, raised):
    """One pass of `find_candidates`; −1 if there are too many."""
    places, count, with_routes = len(model.atlas.place_xy), 0, len(model.route_keys) > 0
    tabled = len(model.atlas.starts) > 1 and not model.bent
    # taken out of their tuples once: a call with a tuple costs more than most strokes
    starts, pixels, halves, peak = model.atlas.starts, model.atlas.pixels, model.atlas.halves, model.peak
    ends, local, room_starts, room_pixels, room_halves = (
        buffers.ends,
        buffers.local,
        buffers.starts,
        buffers.pixels,
        buffers.halves,
    )
    for i in range(len(origins[0])):
        for k in range(len(destinations[0])):
            origin, destination = origins[0][i], destinations[0][k]
            blobs = (i < origins[1]) + (k < destinations[1])
            if blobs == 0 or (model.grey and destination < origin) or (origin == destination and blobs < 2):
                continue  # without direction a → b and b → a are one picture
            least = both if blobs == 2 else alone
            least += raised * (1 - least)
            pair = np.int64(origin) * places + destination
            if tabled and origin != destination:
                begin, end = starts[pair], starts[pair + 1]
                if not _is_painted(begin, end, pixels, halves, field, peak, least):
                    continue
                last = _copy(begin, end, pixels, halves, room_starts[count], room_pixels, room_halves)
                count = _register(count, last, (i, k), (origin, destination, -1), ends, local, room_starts)
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
