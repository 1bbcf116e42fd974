"""How sure each decoded trip is: the decoder checks itself on trips it painted like the generator does."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from decode.solver.decoder import Decoder
from decode.solver.degradation import Degradation, draw_degraded
from decode.solver.routes import Routes
from decode.solver.solution import Solution
from rasterize.strokes.channels import LOWEST_LEVEL
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

CONFIDENT = 0.9  # trips above are the ones to trust
TRIPS = 4000  # painted and decoded; half of them fit the curve, half check it
FEWEST_WRONG = 10  # that a curve can be fitted to
BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
LEAST = 1e-4  # of margin and of what is unexplained


@dataclass(frozen=True, kw_only=True)
class ConfidenceCurve:
    """From evidence to the chance that a trip is right: a logistic curve over the logarithms of two of its columns.

    intercept, margin, unexplained : its coefficients; a margin never speaks against a trip, a picture left unexplained
    never for it.
    reliability : per bin of confidence (low, high, trips, mean confidence, share that is right), of trips the curve was
    not fitted to.
    """

    intercept: float
    margin: float = 0.0
    unexplained: float = 0.0
    reliability: tuple[tuple[float, float, int, float, float], ...] = ()

    def confidence(self, evidence: NDArray) -> NDArray:
        """Chance of each trip to be right, float32 [S], from `Solution.evidence`."""
        logs = _features(evidence)
        return expit(self.intercept + logs @ [self.margin, self.unexplained]).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """The calibration as a JSON object."""
        return asdict(self) | {"reliability": [list(row) for row in self.reliability]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**value, "reliability": tuple(tuple(row) for row in value["reliability"])})


def fit_confidence(
    spec: StrokeSpec, degradation: Degradation, ends: NDArray, *, routes: Routes | None = None, seed: int = 0
) -> ConfidenceCurve:
    """Paint trips like `ends` [S, 2] as the generator does, decode them, and see which came back.

    No real trip is needed: where trips go is taken from the decoded ones, how they are painted from the estimate.
    """
    rng = np.random.default_rng(seed)
    if not len(ends):
        return ConfidenceCurve(intercept=0.0)
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
    found = Decoder(spec, degradation=degradation, routes=routes).solve(draw_degraded(spec, strokes, degradation, rng))
    right = is_right(strokes, found, ordered=spec.drawing.mode != "grey")
    fitted = found.image < images // 2
    curve = _fit(found.evidence[fitted], right[fitted])
    return ConfidenceCurve(
        **curve, reliability=_reliability(ConfidenceCurve(**curve), found.evidence[~fitted], right[~fitted])
    )


def is_right(strokes: Strokes, found: Solution, *, ordered: bool = True) -> NDArray:
    """Which found trips were drawn in their image, bool [S]; of two equal ones found the second needs two drawn."""
    image = np.repeat(np.arange(len(strokes.offsets) - 1), np.diff(strokes.offsets))
    true, decoded = strokes.ends, found.ends
    if not ordered:
        true, decoded = np.sort(true, axis=1), np.sort(decoded, axis=1)
    left = Counter(zip(image.tolist(), *true.T.tolist(), strict=True))
    right = np.zeros(len(decoded), bool)
    for row, trip in enumerate(zip(found.image.tolist(), *decoded.T.tolist(), strict=True)):
        if left[trip] > 0:
            left[trip] -= 1
            right[row] = True
    return right


def _features(evidence: NDArray) -> NDArray:
    """Logarithms of margin and of what is unexplained, [S, 2]."""
    return np.log(np.maximum(evidence[:, [0, 2]], LEAST))


def _fit(evidence: NDArray, right: NDArray) -> dict[str, float]:
    """Coefficients of the logistic curve by maximum likelihood, with the signs that make sense."""
    wrong = int((~right).sum())
    if wrong < FEWEST_WRONG:
        return {"intercept": float(np.log((len(right) - wrong + 1) / (wrong + 1)))}
    logs = _features(evidence)
    middle, scale = logs.mean(axis=0), logs.std(axis=0) + 1e-9
    logs = (logs - middle) / scale

    def loss(x: NDArray) -> tuple[float, NDArray]:
        score = x[0] + logs @ x[1:]
        off = expit(score) - right
        value = np.logaddexp(0, np.where(right, -score, score)).sum() + 0.5 * (x[1:] ** 2).sum()
        return value, np.concatenate([[off.sum()], off @ logs + x[1:]])

    found = minimize(loss, np.zeros(3), jac=True, bounds=[(None, None), (0, None), (None, 0)], method="L-BFGS-B")
    margin, unexplained = found.x[1:] / scale
    intercept = found.x[0] - margin * middle[0] - unexplained * middle[1]
    return {"intercept": float(intercept), "margin": float(margin), "unexplained": float(unexplained)}


def _reliability(curve: ConfidenceCurve, evidence: NDArray, right: NDArray) -> tuple[tuple, ...]:
    """Rows of `ConfidenceCurve.reliability`; empty bins are left out."""
    confidence = curve.confidence(evidence)
    rows = []
    for low, high in zip(BINS, BINS[1:], strict=False):
        here = (confidence >= low) & ((confidence < high) | (high == 1.0))
        if here.any():
            rows.append((low, high, int(here.sum()), float(confidence[here].mean()), float(right[here].mean())))
    return tuple(rows)
