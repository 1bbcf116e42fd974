"""How sure each decoded trip is: the decoder checks itself on trips it painted like the generator does."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from decode.solver.decoder import Decoder
from decode.solver.degradation import Degradation, draw_degraded
from decode.solver.routes import Routes
from decode.solver.solution import match_trips
from rasterize.strokes.channels import LOWEST_LEVEL
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

CONFIDENT = 0.9  # trips above are the ones to trust
# The values below were set by hand and not swept. The tables of docs/benchmarks/codec.md were measured with them.
TRIPS = 4000  # painted and decoded; half of them fit the curve, half check it
FEWEST_WRONG = 10  # trips that must be wrong before a curve is fitted
BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)  # of confidence, in which the curve is checked
LEAST = 1e-4  # of margin and of what is unexplained: a logarithm takes no less


@dataclass(frozen=True, kw_only=True)
class ConfidenceCurve:
    """A logistic curve from evidence to the chance that a trip is right.

    It is over the logarithms of two columns of the evidence.

    Attributes
    ----------
    intercept : float
        Constant term.
    margin : float
        Coefficient of log margin; never negative, so a margin never speaks against a trip.
    unexplained : float
        Coefficient of log unexplained; never positive, so a picture left unexplained never speaks for a trip.
    reliability : tuple of (low, high, trips, mean confidence, share that is right)
        A row per bin of confidence, of trips that the curve was not fitted to.
    """

    intercept: float
    margin: float = 0.0
    unexplained: float = 0.0
    reliability: tuple[tuple[float, float, int, float, float], ...] = ()

    def confidence(self, evidence: NDArray) -> NDArray:
        """Return the chance of each trip to be right, float32 [S], from `Solution.evidence`."""
        logs = _log_evidence(evidence)
        return expit(self.intercept + logs @ [self.margin, self.unexplained]).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return the curve as a JSON object."""
        return asdict(self) | {"reliability": [list(row) for row in self.reliability]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the curve that `to_json` gave."""
        return cls(**{**value, "reliability": tuple(tuple(row) for row in value["reliability"])})


def fit_confidence(
    spec: StrokeSpec, degradation: Degradation, ends: NDArray, *, routes: Routes | None = None, seed: int = 0
) -> ConfidenceCurve:
    """Paint trips as the generator does, decode them, and fit confidence to which came back.

    Parameters
    ----------
    spec : StrokeSpec
        How images are drawn.
    degradation : Degradation
        How the generator spoils them.
    ends : (S, 2) int32
        Origins and destinations of decoded trips: painted ones go where these go.
    routes : Routes, optional
        Known routes.
    seed : int
        Of the painted trips.

    Returns
    -------
    ConfidenceCurve
        Half of the painted trips fit it, the other half are its `reliability`.

    Notes
    -----
    No real trip is needed. Where trips go is known from the decoded ones, how they are painted from the estimate.
    """
    rng = np.random.default_rng(seed)
    if not len(ends):
        return ConfidenceCurve(intercept=0.0)
    # Paint trips like the decoded ones.
    per_image = spec.trips_per_image
    images = max(2, TRIPS // per_image)
    drawn = ends[rng.integers(0, len(ends), images * per_image)]
    strokes = Strokes.straight(
        drawn,
        values=rng.uniform(LOWEST_LEVEL, 1, (len(drawn), spec.shape[0] - len(spec.drawing.planes))),
        offsets=np.arange(images + 1) * per_image,
    )
    if routes is not None:
        strokes = routes.along(strokes, routes.choose(drawn, rng))
    # Decode them: who came back?
    levels = draw_degraded(spec, strokes, degradation, rng)
    found = Decoder(spec, degradation=degradation, routes=routes).solve(levels)
    is_right = match_trips(strokes, found.image, found.ends, ordered=spec.drawing.mode != "grey")
    # Fit the curve to the first half of the images, check it on the second.
    first_half = found.image < images // 2
    curve = ConfidenceCurve(**_fit_curve(found.evidence[first_half], is_right[first_half]))
    return replace(curve, reliability=_reliability(curve, found.evidence[~first_half], is_right[~first_half]))


def _log_evidence(evidence: NDArray) -> NDArray:
    """Return the logarithms of margin and of what is unexplained, [S, 2]."""
    return np.log(np.maximum(evidence[:, [0, 2]], LEAST))


def _fit_curve(evidence: NDArray, is_right: NDArray) -> dict[str, float]:
    """Return the coefficients of the logistic curve by maximum likelihood, with the signs that make sense."""
    # With hardly a wrong trip: their share alone, by Laplace's rule of succession.
    wrong = int((~is_right).sum())
    if wrong < FEWEST_WRONG:
        return {"intercept": float(np.log((len(is_right) - wrong + 1) / (wrong + 1)))}
    # Standardise.
    logs = _log_evidence(evidence)
    middle, scale = logs.mean(axis=0), logs.std(axis=0) + 1e-9
    logs = (logs - middle) / scale

    def loss(x: NDArray) -> tuple[float, NDArray]:
        score = x[0] + logs @ x[1:]
        error = expit(score) - is_right
        value = np.logaddexp(0, np.where(is_right, -score, score)).sum() + 0.5 * (x[1:] ** 2).sum()
        return value, np.concatenate([[error.sum()], error @ logs + x[1:]])

    # Minimise the log loss with a small penalty on slopes, then take the scale back out.
    result = minimize(loss, np.zeros(3), jac=True, bounds=[(None, None), (0, None), (None, 0)], method="L-BFGS-B")
    margin, unexplained = result.x[1:] / scale
    intercept = result.x[0] - margin * middle[0] - unexplained * middle[1]
    return {"intercept": float(intercept), "margin": float(margin), "unexplained": float(unexplained)}


def _reliability(curve: ConfidenceCurve, evidence: NDArray, is_right: NDArray) -> tuple[tuple, ...]:
    """Return the rows of `ConfidenceCurve.reliability`; empty bins are left out."""
    confidence = curve.confidence(evidence)
    rows = []
    for low, high in zip(BINS, BINS[1:], strict=False):
        inside = (confidence >= low) & ((confidence < high) | (high == 1.0))
        if inside.any():
            said, true = float(confidence[inside].mean()), float(is_right[inside].mean())
            rows.append((low, high, int(inside.sum()), said, true))
    return tuple(rows)
