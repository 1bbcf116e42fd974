"""How a generator spoils pictures, estimated from its images alone: decode some, draw the trips cleanly, compare."""

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

# The values below were set by hand and not swept. tests/decode/test_estimate.py says how near estimates come with them.
TRIPS = 3000  # looked at
LEAST_IMAGES, MOST_IMAGES = 64, 512  # looked at
ROUNDS = 3  # of decoding, drawing and comparing
LEAST_FREQUENCY = 0.1  # cycles per pixel, of a first look at blobs: below, it matters where the places lie
BLURS_PX = np.arange(0, 2.001, 0.02)  # that are tried
EMPTY = 0.01  # of a stroke: where the drawing holds less there is only background
LEAST_NOISE = 0.005  # of a stroke: below, the tails of blobs pass for noise
EMPTY_SHARE = 0.75  # of pixels at exactly zero: they are empty, and nothing is known of noise
NOISE_FLOOR = 4.0  # standard deviations above which a blob is none of noise
# Of the blobs, some are within NEAR of three (or two) times a strength. Where they are more than this share, most blobs
# are of several trips.
NEAR, SHARE_OF_SINGLE = 0.25, 0.2
EMPTY_PIXELS = 1000  # fewer of them do not tell of a background
ZEROS = 0.02, 0.98  # share of empty pixels at exactly zero between which levels below were cut off, not just empty


def estimate_degradation(images: NDArray, spec: StrokeSpec, *, routes: Routes | None = None) -> Degradation:
    """Estimate how the generator of some images spoils them.

    Parameters
    ----------
    images : (N, C, H, W) float
        Generated images, see `choose_sample`.
    spec : StrokeSpec
        How they should be drawn.
    routes : Routes, optional
        Known routes.

    Returns
    -------
    Degradation
        Blur, ends that are off, gains, noise, lost blobs and backgrounds. If no image holds a trip, a first guess.

    Notes
    -----
    The images are decoded with a first guess. The trips are drawn cleanly, and drawings and images are compared
    frequency by frequency. That gives a better guess, and all is done again.
    """
    # Units of a stroke; an image that is not finite tells nothing.
    images = np.asarray(images, np.float32)
    images = images[np.isfinite(images).all(axis=(1, 2, 3))]
    levels = images * np.float32(spec.drawing.level_scale)
    is_straight = spec.bent and routes is None and spec.drawing.mode != "grey"
    # Decode, draw, compare, and again with the better guess.
    guess = _make_first_guess(levels, spec)
    for _ in range(ROUNDS):
        solution = Decoder(spec, degradation=guess, routes=routes).solve(images)
        if not len(solution.image):
            return guess
        drawn = _draw_solution(solution, spec, len(images), routes)
        guess = _compare(levels, drawn, spec, guess, straight=is_straight)
    # What only blobs tell: how far ends are off, and how many blobs are lost.
    if spec.drawing.mode != "grey":
        guess = _split_jitter_from_blur(levels, drawn, solution, spec, guess)
        solution = Decoder(spec, degradation=replace(guess, lost=1.0), routes=routes).solve(images)
        guess = replace(guess, lost=_lost_share(levels, solution, spec, guess))
    return replace(guess, unexplained=float(np.median(solution.residual[solution.state == 0] ** 2)))


def choose_sample(count: int, trips_per_image: int) -> NDArray:
    """Return which of `count` images are looked at, int64: evenly spread over the set."""
    wanted = min(count, MOST_IMAGES, max(LEAST_IMAGES, TRIPS // trips_per_image))
    return np.unique(np.linspace(0, max(count - 1, 0), wanted).astype(np.int64)) if count else np.zeros(0, np.int64)


def _make_first_guess(levels: NDArray, spec: StrokeSpec) -> Degradation:
    """Guess backgrounds, noise, blur and gains as if at most half of each plane were painted, blobs anywhere."""
    if not len(levels):
        return Degradation()
    # Each plane's background and noise, from two quantiles of a Gaussian; an empty plane has neither.
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
    # The emptiest plane tells the noise best.
    noise = min(noises)
    clipped = [ZEROS[0] < share < ZEROS[1] for share in zeros]
    guess = Degradation(
        backgrounds=tuple(backgrounds) if noise > 0 else (0.0,) * len(backgrounds),
        noise=noise,
        clipped=noise > 0 and bool(np.mean(clipped) > 0.5),
        unexplained=1.0,
    )
    # The blur, from the spectrum of the blob planes.
    if spec.drawing.mode != "grey":
        power = (np.abs(_find_spectra(levels, guess, slice(2, 4))) ** 2).sum(axis=(0, 1))
        blur_px = _fit_blob_blur(power, spec, most_px=BLURS_PX[-1], least_frequency=LEAST_FREQUENCY)
        guess = replace(guess, blur_px=blur_px)
    return replace(guess, gains=_estimate_gains(levels, np.ones(len(spec.drawing.planes)), spec, guess))


def _estimate_gains(levels: NDArray, factors: NDArray, spec: StrokeSpec, guess: Degradation) -> tuple[float, ...]:
    """Return the gain of each plane of strokes: a blob plane's is how strong one trip's blobs are, the others follow.

    `factors` [planes] say how strongly each plane shows the decoded trips. Only their ratios count, since too many or
    too few trips may have been found.
    """
    if spec.drawing.mode == "grey":
        return tuple(map(float, factors))
    single = [_measure_single_blobs(levels, plane, spec, guess)[0] for plane in (2, 3)]
    if min(single) <= 0:
        return tuple(map(float, factors))
    others = factors[:2] / factors[2:].mean() * np.mean(single)
    return (float(others[0]), float(others[1]), *single)


def _measure_single_blobs(levels: NDArray, plane: int, spec: StrokeSpec, guess: Degradation) -> tuple[float, float]:
    """Return how strong one trip's blobs are in a plane, and the standard deviation of that as a share.

    They are the lowest and fullest cluster of strengths above the noise.
    """
    # Matched filter at every place of every image. Noise alone gives negative values, so these tell its size.
    model = make_forward_model(spec, blur_px=guess.total_blur_px)
    flat = _pad_planes(_remove_background(levels, guess)[:, plane], model)
    at, blobs = model.atlas.blobs_at, model.atlas.blobs
    matched = sum(flat[:, at[:, tap]] * blobs[:, tap] for tap in range(blobs.shape[1])) / (blobs**2).sum(axis=1)
    negative = matched[matched < 0]
    noise = float(np.sqrt(np.mean(negative**2))) if len(negative) else 0.0
    floor = max(NOISE_FLOOR * noise, 1e-6)
    strong = matched[matched > floor]
    if not len(strong):
        return 0.0, 0.0
    # Strengths of blobs by least squares: near ones no longer count twice.
    top = float(np.quantile(strong, 0.9))
    strengths = top * np.stack([_solve_blobs(image / np.float32(top), model) for image in flat])
    # With one trip per image all other blobs are its faint doubles.
    if spec.trips_per_image == 1:
        strengths = strengths.max(axis=1)
    strong = strengths[strengths > max(floor, 0.25 * top)]
    if not len(strong):
        return 0.0, 0.0
    middle = float(np.median(strong))
    # Where most blobs are of several trips, the middle is not that of single ones.
    for trips in (3, 2) if spec.trips_per_image > 1 else ():
        if np.mean(np.abs(strong * trips / middle - 1) < NEAR) > SHARE_OF_SINGLE:
            middle /= trips
            break
    # Settle on the middle of the cluster around it, and take the noise out of its variance.
    for _ in range(5):
        middle = float(np.median(strong[(strong > 0.5 * middle) & (strong < 1.5 * middle)]))
    single = strong[(strong > 0.5 * middle) & (strong < 1.5 * middle)]
    return middle, float(np.sqrt(max(single.var() - noise**2, 0)) / middle)


def _solve_blobs(plane: NDArray, model: ForwardModel) -> NDArray:
    """Return how many trips per place the blobs of a plane tell, float32 [P]."""
    return blob_amplitudes(plane, model.atlas, np.float32(BLOB_SUSPECTED))


def _pad_planes(planes: NDArray, model: ForwardModel) -> NDArray:
    """Return planes [N, H, W] in the padded frame of a forward model, float32 [N, area]."""
    sides = (model.pad, model.pad)
    return np.pad(planes, ((0, 0), sides, sides)).astype(np.float32).reshape(len(planes), -1)


def _draw_solution(solution: Solution, spec: StrokeSpec, count: int, routes: Routes | None) -> NDArray:
    """Draw decoded trips cleanly: [N, planes of strokes, H, W], in units of a stroke."""
    plain = replace(spec, channels=(), drawing=replace(spec.drawing, level_scale=1.0))
    offsets = np.searchsorted(solution.image, np.arange(count + 1))
    strokes = Strokes.straight(solution.ends, offsets=offsets)
    if routes is not None:
        strokes = routes.along(strokes, solution.route)
    return Pen(plain).draw(strokes)


def _compare(
    levels: NDArray, drawn: NDArray, spec: StrokeSpec, guess: Degradation, *, straight: bool = False
) -> Degradation:
    """Find the blur and gains that carry drawings over to images, then backgrounds and noise where nothing is drawn.

    `straight` says that strokes are drawn straight for want of routes, while those of the images bend. Then only blobs
    tell anything.
    """
    # Cross spectrum of drawing and image, and power spectrum of the drawing: [planes, H, W / 2 + 1].
    planes = drawn.shape[1]
    image, drawing = _find_spectra(levels, guess, slice(planes)), np.fft.rfft2(drawn)
    cross = (drawing.conj() * image).real.sum(axis=0)
    power = (np.abs(drawing) ** 2).sum(axis=0)
    power[:, 0, 0] = 0
    # For each blur the best gain is overlap / energy, and explains overlap² / energy of the image. Take the best blur.
    blurs = np.stack([_blur_response(blur_px, drawn.shape) for blur_px in BLURS_PX])[:, None]
    overlap, energy = (blurs * cross).sum(axis=(2, 3)), (blurs**2 * power).sum(axis=(2, 3)) + 1e-12
    compared = slice(2 if straight else 0, None)
    best = int((np.maximum(overlap, 0) ** 2 / energy)[:, compared].sum(axis=1).argmax())
    factors = np.maximum(overlap[best] / energy[best], 0.05)
    if straight:
        factors[:2] = factors[2:].mean()
    # Pixels that no blurred stroke or blob reaches show the background.
    taps = gaussian_taps(float(BLURS_PX[best]))
    covered = np.abs(drawn).max(axis=1)
    for axis in (1, 2):
        covered = convolve1d(covered, taps, axis=axis, mode="constant")
    background = _measure_background(levels, covered < EMPTY, guess)
    better = replace(guess, blur_px=float(BLURS_PX[best]), jitter_px=0.0, **background)
    return replace(better, gains=_estimate_gains(levels, factors, spec, better))


def _find_spectra(levels: NDArray, guess: Degradation, planes: slice) -> NDArray:
    """Return the spectra of some planes without their backgrounds; the mean level of a plane tells nothing."""
    spectra = np.fft.rfft2(_remove_background(levels, guess)[:, planes])
    spectra[:, :, 0, 0] = 0
    return spectra


def _remove_background(levels: NDArray, guess: Degradation) -> NDArray:
    """Return the levels of all planes without their backgrounds; what was cut off at zero is put back."""
    planes = levels.shape[1]
    cut, background = guess.cut_levels(planes), guess.plane_backgrounds(planes)
    return np.where(levels == 0, cut[:, None, None], levels) - background[:, None, None]


def _blur_response(blur_px: float, shape: tuple[int, ...]) -> NDArray:
    """Return what `gaussian_taps` along both axes leaves of each bin of `rfft2`: e^(−σ² (1 − cos ω)) per axis."""
    rows, columns = np.fft.fftfreq(shape[-2])[:, None], np.fft.rfftfreq(shape[-1])[None, :]
    return np.exp(blur_px**2 * (np.cos(2 * np.pi * rows) + np.cos(2 * np.pi * columns) - 2))


def _measure_background(levels: NDArray, empty: NDArray, guess: Degradation) -> dict:
    """Return the background of each plane and the noise around it, from the empty pixels; {} if there are too few.

    Where levels below zero are cut off, their mean is not the background, nor their standard deviation the noise. Both
    follow from the mean and the share of zeros.
    """
    backgrounds, noises, clipped = list(guess.backgrounds), [], []
    for plane in range(levels.shape[1]):
        values = levels[:, plane][empty]
        if len(values) < EMPTY_PIXELS:
            continue
        zeros = float((values == 0).mean())
        clipped.append(ZEROS[0] < zeros < ZEROS[1] and values.std() > LEAST_NOISE)
        background, noise = float(values.mean()), float(values.std())
        # A Gaussian cut at zero: Φ(−z) of it is zero, and its mean is σ (z Φ(z) + φ(z)), with z = background / noise.
        if clipped[-1]:
            z = -ndtri(zeros)
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


def _split_jitter_from_blur(
    levels: NDArray, drawn: NDArray, solution: Solution, spec: StrokeSpec, guess: Degradation
) -> Degradation:
    """Split the average blur into that of each blob and that of ends that are off, and find the `gain_sd`.

    The power spectrum of an image's blobs is a sum. Single blobs add theirs, blurred, wherever they lie. Pairs of blobs
    add theirs too, which ends that are off also wash out.
    """
    # Take the pairs out of the power spectrum; what is left tells the blur of single blobs.
    gains = np.asarray(guess.gains)[2:4, None, None]
    power = (np.abs(_find_spectra(levels, guess, slice(2, 4)) / gains) ** 2).sum(axis=(0, 1))
    pairs = (np.abs(np.fft.rfft2(drawn[:, 2:4])) ** 2).sum(axis=(0, 1)) - len(solution.image) * 2 * _blob_power(spec)
    power = power - pairs * _blur_response(guess.blur_px, drawn.shape) ** 2
    blur_px = _fit_blob_blur(power, spec, most_px=guess.blur_px, least_frequency=0.0)
    jitter_px = float(np.sqrt(max(guess.blur_px**2 - blur_px**2, 0)))
    # An end that is off by d makes its blob seem weaker by d² / 4σ². The standard deviation of d² is 2 jitter².
    gain_sd = np.mean([_measure_single_blobs(levels, plane, spec, guess)[1] for plane in (2, 3)])
    uneven = jitter_px**2 / 2 / (spec.drawing.blob_sigma_px**2 + guess.blur_px**2)
    return replace(
        guess,
        blur_px=blur_px,
        jitter_px=jitter_px,
        gain_sd=float(np.sqrt(max(gain_sd**2 - uneven**2, 0))),
    )


def _fit_blob_blur(power: NDArray, spec: StrokeSpec, *, most_px: float, least_frequency: float) -> float:
    """Return the blur, in pixels, at which the spectrum of single blobs and white noise explain `power` best."""
    rows, columns = np.fft.fftfreq(spec.frame.height)[:, None], np.fft.rfftfreq(spec.frame.width)[None, :]
    used = np.hypot(rows, columns) > least_frequency
    # For each blur, least squares of how many blobs and how much noise there are.
    single, best = _blob_power(spec), (np.inf, 0.0)
    for blur_px in BLURS_PX[: int(np.searchsorted(BLURS_PX, most_px, "right"))]:
        blurred = single * _blur_response(float(blur_px), spec.shape) ** 2
        predictors = np.stack([blurred[used], np.ones(used.sum())], axis=1)
        factors, _, _, _ = np.linalg.lstsq(predictors, power[used], rcond=None)
        best = min(best, (float(((power[used] - predictors @ factors) ** 2).sum()), float(blur_px)))
    return best[1]


def _blob_power(spec: StrokeSpec) -> NDArray:
    """Return the mean power spectrum of one blob, [H, W / 2 + 1]."""
    places = np.unique(np.linspace(0, len(spec.places) - 1, 64).astype(int))
    plain = replace(spec, channels=(), drawing=replace(spec.drawing, level_scale=1.0))
    blobs = Pen(plain).draw(Strokes.straight(np.stack([places, places], axis=1)))[:, 2]
    return (np.abs(np.fft.rfft2(blobs)) ** 2).mean(axis=0)


def _lost_share(levels: NDArray, solution: Solution, spec: StrokeSpec, guess: Degradation) -> float:
    """Return the share of the ends of decoded trips at which there is no blob."""
    model = make_forward_model(spec, blur_px=guess.total_blur_px)
    missing, clean = [], _remove_background(levels, guess)
    for side in (0, 1):
        plane = clean[:, 2 + side] / guess.gains[2 + side]
        amplitudes = np.stack([_solve_blobs(image, model) for image in _pad_planes(plane, model)])
        missing.append(amplitudes[solution.image, solution.ends[:, side]] < BLOB_THRESHOLD)
    return float(np.mean(missing))
