"""How a generator spoils pictures, estimated from its images alone: decode some, draw what was found, compare."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d
from scipy.special import ndtr, ndtri

from decode.solver.candidates import BLOB_SUSPECTED, BLOB_THRESHOLD, blob_amplitudes
from decode.solver.decoder import Decoder
from decode.solver.degradation import Degradation
from decode.solver.forward_model import ForwardModel, make_forward_model
from decode.solver.routes import Routes
from decode.solver.solution import Solution
from rasterize.strokes.blur import gaussian_taps
from rasterize.strokes.pen import Pen
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

TRIPS = 3000  # looked at
LEAST_IMAGES, MOST_IMAGES = 64, 512
ROUNDS = 3
LEAST_FREQUENCY = 0.1  # cycles per pixel, of a first look at blobs: below, it matters where the places lie
BLURS_PX = np.arange(0, 2.001, 0.02)
EMPTY = 0.01  # of a stroke: where the drawing holds less there is only background
LEAST_NOISE = 0.005  # of a stroke: below, the tails of blobs pass for noise
EMPTY_SHARE = 0.75  # of pixels at exactly zero: they are empty, and nothing is known of noise
NOISE_FLOOR = 4.0  # standard deviations above which a blob is none of noise
NEAR, SHARE_OF_SINGLE = 0.25, 0.2  # of blobs: so many this near to a strength are a cluster
EMPTY_PIXELS = 1000  # that tell of a background
ZEROS = 0.02, 0.98  # share of empty pixels at exactly zero between which levels below were cut off, not just empty


def estimate_degradation(images: NDArray, spec: StrokeSpec, *, routes: Routes | None = None) -> Degradation:
    """Blur, ends that are off, gains, noise, lost blobs and backgrounds of the generator of `images` [N, C, H, W].

    The images are decoded with a first guess; what was found is drawn cleanly, and the drawings are compared with the
    images, frequency by frequency; then again with the better guess. Images without a trip tell nothing: of a set of
    only such ones the first guess is returned.
    """
    images = np.asarray(images, np.float32)
    images = images[np.isfinite(images).all(axis=(1, 2, 3))]
    levels = images * np.float32(spec.drawing.level_scale)
    is_straight = spec.bent and routes is None and spec.drawing.mode != "grey"
    guess = _first_guess(levels, spec)
    for _ in range(ROUNDS):
        found = Decoder(spec, degradation=guess, routes=routes).solve(images)
        if not len(found.image):
            return guess
        drawn = _draw(found, spec, len(images), routes)
        guess = _compare(levels, drawn, spec, guess, straight=is_straight)
    if spec.drawing.mode != "grey":
        guess = _tell_jitter_from_blur(levels, drawn, found, spec, guess)
        found = Decoder(spec, degradation=replace(guess, lost=1.0), routes=routes).solve(images)
        guess = replace(guess, lost=_lost_share(levels, found, spec, guess))
    return replace(guess, unexplained=float(np.median(found.residual[found.state == 0] ** 2)))


def choose_sample(count: int, trips_per_image: int) -> NDArray:
    """Which of `count` images are looked at, int64: evenly spread over the set."""
    wanted = min(count, MOST_IMAGES, max(LEAST_IMAGES, TRIPS // trips_per_image))
    return np.unique(np.linspace(0, max(count - 1, 0), wanted).astype(np.int64)) if count else np.zeros(0, np.int64)


def _first_guess(levels: NDArray, spec: StrokeSpec) -> Degradation:
    """Backgrounds, noise, blur and gains as if at most half of each plane were painted, blobs anywhere."""
    if not len(levels):
        return Degradation()
    backgrounds, noises, zeros = [], [], []
    for plane in range(levels.shape[1]):
        values = levels[:, plane]
        zeros.append(float((values == 0).mean()))
        if zeros[-1] > EMPTY_SHARE:
            backgrounds.append(0.0)
            noises.append(0.0)
            continue
        shares = np.array([0.0, 0.2]) + max(0.3, zeros[-1] + 0.02)
        low, high = np.quantile(values, shares)
        noises.append(float((high - low) / np.diff(ndtri(shares))[0]))
        backgrounds.append(float(low - noises[-1] * ndtri(shares[0])))
    noise = min(noises)  # of the emptiest plane
    clipped = [ZEROS[0] < share < ZEROS[1] for share in zeros]
    guess = Degradation(
        backgrounds=tuple(backgrounds) if noise > 0 else (0.0,) * len(backgrounds),
        noise=noise,
        clipped=noise > 0 and bool(np.mean(clipped) > 0.5),
        unexplained=1.0,
    )
    if spec.drawing.mode != "grey":
        power = (np.abs(_spectra(levels, guess, slice(2, 4))) ** 2).sum(axis=(0, 1))
        blur_px = _fit_blob_blur(power, spec, most_px=BLURS_PX[-1], least_frequency=LEAST_FREQUENCY)
        guess = replace(guess, blur_px=blur_px)
    return replace(guess, gains=_gains(levels, np.ones(len(spec.drawing.planes)), spec, guess))


def _gains(levels: NDArray, factors: NDArray, spec: StrokeSpec, guess: Degradation) -> tuple[float, ...]:
    """Gain of each plane of strokes: that of the blobs is how strong those of one trip are, others follow by `factors`.

    factors [planes] say how strongly each plane shows the trips found; only their ratios count, since too many or too
    few of them may have been found.
    """
    if spec.drawing.mode == "grey":
        return tuple(map(float, factors))
    single = [_single_strength(levels, plane, spec, guess)[0] for plane in (2, 3)]
    if min(single) <= 0:
        return tuple(map(float, factors))
    others = factors[:2] / factors[2:].mean() * np.mean(single)
    return (float(others[0]), float(others[1]), *single)


def _single_strength(levels: NDArray, plane: int, spec: StrokeSpec, guess: Degradation) -> tuple[float, float]:
    """How strong a plane's blobs of one trip are, and the spread of that as a share.

    They are the lowest and fullest cluster of strengths above the noise, which is told by the negative ones.
    """
    model = make_forward_model(spec, blur_px=guess.total_blur_px)
    flat = _padded(_without_background(levels, guess)[:, plane], model)
    at, blobs = model.atlas.blobs_at, model.atlas.blobs
    matched = sum(flat[:, at[:, tap]] * blobs[:, tap] for tap in range(blobs.shape[1])) / (blobs**2).sum(axis=1)
    negative = matched[matched < 0]
    noise = float(np.sqrt(np.mean(negative**2))) if len(negative) else 0.0
    floor = max(NOISE_FLOOR * noise, 1e-6)
    strong = matched[matched > floor]
    if not len(strong):
        return 0.0, 0.0
    top = float(np.quantile(strong, 0.9))
    strengths = top * np.stack([_loads(one / np.float32(top), model) for one in flat])
    if spec.trips_per_image == 1:  # beside the one there are only its faint doubles
        strengths = strengths.max(axis=1)
    strong = strengths[strengths > max(floor, 0.25 * top)]
    if not len(strong):
        return 0.0, 0.0
    middle = float(np.median(strong))
    for trips in (3, 2) if spec.trips_per_image > 1 else ():  # where most blobs are of several
        if np.mean(np.abs(strong * trips / middle - 1) < NEAR) > SHARE_OF_SINGLE:
            middle /= trips
            break
    for _ in range(5):
        middle = float(np.median(strong[(strong > 0.5 * middle) & (strong < 1.5 * middle)]))
    single = strong[(strong > 0.5 * middle) & (strong < 1.5 * middle)]
    return middle, float(np.sqrt(max(single.var() - noise**2, 0)) / middle)


def _loads(plane: NDArray, model: ForwardModel) -> NDArray:
    """Trips per place that the blobs of a plane tell, float32 [P]."""
    return blob_amplitudes(plane, model.atlas, np.float32(BLOB_SUSPECTED))


def _padded(planes: NDArray, model: ForwardModel) -> NDArray:
    """Planes [N, H, W] in the frame of a scene, float32 [N, area]."""
    sides = (model.pad, model.pad)
    return np.pad(planes, ((0, 0), sides, sides)).astype(np.float32).reshape(len(planes), -1)


def _draw(found: Solution, spec: StrokeSpec, count: int, routes: Routes | None) -> NDArray:
    """Clean drawings of what was found, [N, planes of strokes, H, W], in units of a stroke."""
    plain = replace(spec, channels=(), drawing=replace(spec.drawing, level_scale=1.0))
    offsets = np.searchsorted(found.image, np.arange(count + 1))
    strokes = Strokes.straight(found.ends, offsets=offsets)
    if routes is not None:
        strokes = routes.along(strokes, found.route)
    return Pen(plain).draw(strokes)


def _compare(
    levels: NDArray, drawn: NDArray, spec: StrokeSpec, guess: Degradation, *, straight: bool = False
) -> Degradation:
    """Blur and gains that carry the drawings over to the images; then backgrounds and noise where nothing is drawn.

    `straight` says that strokes are drawn so for want of routes, while those of the images bend: only blobs tell.
    """
    planes = drawn.shape[1]
    image, drawing = _spectra(levels, guess, slice(planes)), np.fft.rfft2(drawn)
    cross = (drawing.conj() * image).real.sum(axis=0)  # [planes, H, W / 2 + 1]
    power = (np.abs(drawing) ** 2).sum(axis=0)
    power[:, 0, 0] = 0
    blurs = np.stack([_blur_response(blur_px, drawn.shape) for blur_px in BLURS_PX])[:, None]
    overlap, energy = (blurs * cross).sum(axis=(2, 3)), (blurs**2 * power).sum(axis=(2, 3)) + 1e-12
    told = slice(2 if straight else 0, None)  # which planes
    best = int((np.maximum(overlap, 0) ** 2 / energy)[:, told].sum(axis=1).argmax())
    factors = np.maximum(overlap[best] / energy[best], 0.05)
    if straight:
        factors[:2] = factors[2:].mean()
    taps = gaussian_taps(float(BLURS_PX[best]))
    mark = np.abs(drawn).max(axis=1)
    for axis in (1, 2):
        mark = convolve1d(mark, taps, axis=axis, mode="constant")
    better = replace(
        guess, blur_px=float(BLURS_PX[best]), jitter_px=0.0, **_background_and_noise(levels, mark < EMPTY, guess)
    )
    return replace(better, gains=_gains(levels, factors, spec, better))


def _spectra(levels: NDArray, guess: Degradation, planes: slice) -> NDArray:
    """Spectra of some planes without their backgrounds; the mean level of a plane tells nothing."""
    spectra = np.fft.rfft2(_without_background(levels, guess)[:, planes])
    spectra[:, :, 0, 0] = 0
    return spectra


def _without_background(levels: NDArray, guess: Degradation) -> NDArray:
    """Levels of all planes without their backgrounds; what was cut off at zero is put back."""
    planes = levels.shape[1]
    cut, background = guess.cut_levels(planes), guess.plane_backgrounds(planes)
    return np.where(levels == 0, cut[:, None, None], levels) - background[:, None, None]


def _blur_response(blur_px: float, shape: tuple[int, ...]) -> NDArray:
    """What `gaussian_taps` along both axes leaves of each bin of `rfft2`: e^(−σ² (1 − cos ω)) per axis."""
    rows, columns = np.fft.fftfreq(shape[-2])[:, None], np.fft.rfftfreq(shape[-1])[None, :]
    return np.exp(blur_px**2 * (np.cos(2 * np.pi * rows) + np.cos(2 * np.pi * columns) - 2))


def _background_and_noise(levels: NDArray, empty: NDArray, guess: Degradation) -> dict:
    """Background of each plane and the noise around it, from the empty pixels.

    Where levels below zero are cut off, their mean is not the background, nor their spread the noise: both follow from
    the mean and the share of zeros.
    """
    backgrounds, noises, clipped = list(guess.backgrounds), [], []
    for plane in range(levels.shape[1]):
        values = levels[:, plane][empty]
        if len(values) < EMPTY_PIXELS:
            continue
        zeros = float((values == 0).mean())
        clipped.append(ZEROS[0] < zeros < ZEROS[1] and values.std() > LEAST_NOISE)
        background, noise = float(values.mean()), float(values.std())
        if clipped[-1]:
            z = -ndtri(zeros)  # background / noise
            noise = background / (z * ndtr(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
            background = z * noise
        backgrounds[plane] = float(background)
        noises.append(float(noise))
    if not noises:
        return {}
    return {
        "backgrounds": tuple(backgrounds),
        "noise": float(np.median(noises)),
        "clipped": bool(np.mean(clipped) > 0.5),
    }


def _tell_jitter_from_blur(
    levels: NDArray, drawn: NDArray, found: Solution, spec: StrokeSpec, guess: Degradation
) -> Degradation:
    """Split the blur of the average in that of each blob and that of ends that are off; and the spread of strength.

    The power of the blobs of one image is that of single ones, blurred but wherever they lie, plus that of pairs, which
    also suffers from ends that are off.
    """
    gains = np.asarray(guess.gains)[2:4, None, None]
    power = (np.abs(_spectra(levels, guess, slice(2, 4)) / gains) ** 2).sum(axis=(0, 1))
    pairs = (np.abs(np.fft.rfft2(drawn[:, 2:4])) ** 2).sum(axis=(0, 1)) - len(found.image) * 2 * _blob_power(spec)
    power = power - pairs * _blur_response(guess.blur_px, drawn.shape) ** 2
    blur_px = _fit_blob_blur(power, spec, most_px=guess.blur_px, least_frequency=0.0)
    jitter_px = float(np.sqrt(max(guess.blur_px**2 - blur_px**2, 0)))
    spread = np.mean([_single_strength(levels, plane, spec, guess)[1] for plane in (2, 3)])
    # an end that is off by d makes its blob seem weaker by d² / 4σ²; d² has a spread of 2 jitter²
    uneven = jitter_px**2 / 2 / (spec.drawing.blob_sigma_px**2 + guess.blur_px**2)
    return replace(
        guess,
        blur_px=blur_px,
        jitter_px=jitter_px,
        gain_sd=float(np.sqrt(max(spread**2 - uneven**2, 0))),
    )


def _fit_blob_blur(power: NDArray, spec: StrokeSpec, *, most_px: float, least_frequency: float) -> float:
    """The blur, in pixels, at which the power spectrum of single blobs, and white noise, explain `power` best."""
    rows, columns = np.fft.fftfreq(spec.frame.height)[:, None], np.fft.rfftfreq(spec.frame.width)[None, :]
    used = np.hypot(rows, columns) > least_frequency
    single, best = _blob_power(spec), (np.inf, 0.0)
    for blur_px in BLURS_PX[: int(np.searchsorted(BLURS_PX, most_px, "right"))]:
        blurred = single * _blur_response(float(blur_px), spec.shape) ** 2
        predictors = np.stack([blurred[used], np.ones(used.sum())], axis=1)
        factors, _, _, _ = np.linalg.lstsq(predictors, power[used], rcond=None)
        best = min(best, (float(((power[used] - predictors @ factors) ** 2).sum()), float(blur_px)))
    return best[1]


def _blob_power(spec: StrokeSpec) -> NDArray:
    """Mean power spectrum of one blob, [H, W / 2 + 1]."""
    places = np.unique(np.linspace(0, len(spec.places) - 1, 64).astype(int))
    plain = replace(spec, channels=(), drawing=replace(spec.drawing, level_scale=1.0))
    blobs = Pen(plain).draw(Strokes.straight(np.stack([places, places], axis=1)))[:, 2]
    return (np.abs(np.fft.rfft2(blobs)) ** 2).mean(axis=0)


def _lost_share(levels: NDArray, found: Solution, spec: StrokeSpec, guess: Degradation) -> float:
    """Share of the ends of found trips at which there is no blob."""
    model = make_forward_model(spec, blur_px=guess.total_blur_px)
    missing, clean = [], _without_background(levels, guess)
    for side in (0, 1):
        plane = clean[:, 2 + side] / guess.gains[2 + side]
        load = np.stack([_loads(one, model) for one in _padded(plane, model)])
        missing.append(load[found.image, found.ends[:, side]] < BLOB_THRESHOLD)
    return float(np.mean(missing))
