"""The list of metrics: name, title, direction, and what floor and ceiling mean for each."""

from dataclasses import dataclass
from typing import Literal

from decode.evaluate.columns import BINS, TOP_STATIONS
from decode.evaluate.tables import TILES

_MARGINAL = "a single column, which shuffling leaves as it is"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One line of the table: its name in JSON, its title for people, and how to read its value.

    better : `half` is best at 0.5, `equal` at the ceiling. detects : whether shuffled columns come out worse than real
    ones, without which a floor and an attained share mean nothing. needs : the attribute columns it cannot do without.
    """

    name: str
    title: str
    number: int
    better: Literal["higher", "lower", "half", "equal"]
    detects: bool = True
    needs: tuple[str, ...] = ()
    note: str = ""


def attained_share(metric: Metric, value: float | None, ceiling: float | None, floor: float | None) -> float | None:
    """(value − floor) / (ceiling − floor): 1 like fresh real trips, 0 like shuffled columns.

    None where shuffling proves nothing, where a part is missing, or where the floor is not worse than the ceiling.
    """
    if not metric.detects or value is None or ceiling is None or floor is None:
        return None
    span = ceiling - floor
    is_open = span > 0 if metric.better == "higher" else span < 0
    return (value - floor) / span if is_open else None


METRICS = (
    Metric(
        name="validity",
        title="Valid rows",
        number=1,
        better="higher",
        detects=False,
        note="known stations, end after start, no faster than the vehicle's limit on the straight line",
    ),
    Metric(name="od_cpc", title="OD flows, common part", number=2, better="higher", note="station × station"),
    Metric(
        name="od_cpc_tiles",
        title="OD flows on tiles",
        number=3,
        better="higher",
        note=f"the same between {TILES} × {TILES} tiles",
    ),
    Metric(name="start_jsd", title="Start stations, JSD", number=4, better="lower", detects=False, note=_MARGINAL),
    Metric(name="end_jsd", title="End stations, JSD", number=4, better="lower", detects=False, note=_MARGINAL),
    Metric(name="hour_of_week_jsd", title="Hour of week, JSD", number=5, better="lower", note="day of week × hour"),
    Metric(name="start_hour_jsd", title="Start × hour, JSD", number=6, better="lower"),
    Metric(name="distance_ks", title="Distance, KS", number=7, better="lower"),
    Metric(name="distance_w1_km", title="Distance, W1 (km)", number=7, better="lower"),
    Metric(name="duration_ks", title="Duration, KS", number=8, better="lower", detects=False, note=_MARGINAL),
    Metric(
        name="duration_w1",
        title="Duration, W1 / σ",
        number=8,
        better="lower",
        detects=False,
        note="in standard deviations of the real durations",
    ),
    Metric(
        name="gender_tvd",
        title="Gender, TVD",
        number=9,
        better="lower",
        detects=False,
        needs=("gender",),
        note=_MARGINAL,
    ),
    Metric(
        name="user_type_tvd",
        title="User type, TVD",
        number=9,
        better="lower",
        detects=False,
        needs=("user_type",),
        note=_MARGINAL,
    ),
    Metric(
        name="birth_year_ks",
        title="Birth year, KS",
        number=9,
        better="lower",
        detects=False,
        needs=("birth_year",),
        note=_MARGINAL,
    ),
    Metric(
        name="bivariate_accuracy",
        title="Column pairs, accuracy",
        number=10,
        better="higher",
        note=f"1 − mean TVD over all pairs; {BINS} bins, top {TOP_STATIONS} stations",
    ),
    Metric(
        name="k_marginal",
        title="K-marginal score",
        number=11,
        better="higher",
        note="0 to 1000; three columns at a time within start area × shift",
    ),
    Metric(
        name="c2st_auc",
        title="Classifier real / synthetic, AUC",
        number=12,
        better="half",
        note="gradient-boosted trees, 3 folds; .5 means it cannot tell",
    ),
    Metric(
        name="c2st_distance_auc",
        title="Classifier that is told the distance, AUC",
        number=12,
        better="half",
        note="the same trees; stricter: speeds betray a trip",
    ),
    Metric(
        name="tstr_duration_r2",
        title="Trained on it: duration, R²",
        number=13,
        better="higher",
        note="log duration, tested on real trips; the ceiling is trained on real ones",
    ),
    Metric(
        name="tstr_user_type_auc",
        title="Trained on it: user type, AUC",
        number=13,
        better="higher",
        needs=("user_type",),
        note="the most common type against the rest, tested on real trips",
    ),
    Metric(
        name="tstr_demand_r",
        title="Trained on it: demand, r",
        number=13,
        better="higher",
        note="starts by station × weekend × hour",
    ),
    Metric(
        name="daily_cpc_jsd",
        title="Daily networks: flows, JS distance",
        number=14,
        better="lower",
        note="are real and synthetic days as alike as two real days (MoGAN protocol); from 20 dates on",
    ),
    Metric(name="daily_weights_jsd", title="Daily networks: edge weights, JS distance", number=14, better="lower"),
    Metric(name="daily_clustering_jsd", title="Daily networks: clustering, JS distance", number=14, better="lower"),
    Metric(name="daily_degrees_jsd", title="Daily networks: degrees, JS distance", number=14, better="lower"),
    Metric(
        name="daily_cpc_within_jsd",
        title="Daily networks: within synthetic, JS distance",
        number=14,
        better="lower",
        note="do flows of synthetic days differ from each other as those of real days do",
    ),
    Metric(
        name="dcr_share",
        title="Nearer to training than to held-out rows",
        number=15,
        better="half",
        detects=False,
        note="ties split; above .5 means copying",
    ),
    Metric(
        name="ims",
        title="Identical to a training row",
        number=15,
        better="equal",
        detects=False,
        note="not above the rate of fresh real trips",
    ),
    Metric(
        name="nndr_p5",
        title="Nearest / second nearest, 5th percentile",
        number=16,
        better="equal",
        detects=False,
        note="far below real means copies of single rows",
    ),
    Metric(
        name="membership_auc",
        title="Who trained it, guessed: AUC",
        number=17,
        better="half",
        detects=False,
        note="by the distance to the nearest synthetic row; .5 is guessing",
    ),
    Metric(
        name="membership_tpr",
        title="Who trained it, hits at 1 % false alarms",
        number=17,
        better="equal",
        detects=False,
        note=".01 is guessing",
    ),
    Metric(
        name="picture_swd",
        title="Pictures, sliced Wasserstein / σ",
        number=18,
        better="lower",
        note="trips drawn by the codec, several to a picture; all planes on random directions",
    ),
    Metric(
        name="picture_density",
        title="Pictures, density",
        number=18,
        better="higher",
        note="5 neighbours; low where pictures look like no real one, above 1 where they crowd",
    ),
    Metric(
        name="picture_coverage",
        title="Pictures, coverage",
        number=18,
        better="higher",
        note="share of real pictures that have a synthetic one near",
    ),
    Metric(
        name="picture_mass",
        title="Pictures, total mass, W1 / mean",
        number=18,
        better="lower",
        note="length of strokes and blobs in a picture",
    ),
    Metric(name="picture_active_cells", title="Pictures, active cells, W1 / mean", number=18, better="lower"),
)
