"""The list of metrics: name, title, direction, and in plain words what each one says."""

from dataclasses import dataclass
from typing import Literal

from decode.evaluate.columns import BINS, TOP_STATIONS
from decode.evaluate.tables import TILES

_SHUFFLED = "Shuffling leaves a single column as it is, so there is no floor to beat."


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One line of the table of figures.

    Attributes
    ----------
    name : str
        Its name in metrics.json.
    title : str
        Its name for people.
    number : int
        Its group: figures that are measured together share a number.
    better : {"higher", "lower", "half", "equal"}
        Where the best value lies: `half` is .5, `equal` is the ceiling.
    detects : bool
        Whether shuffled columns come out worse than real ones. If not, floor and attained share mean nothing.
    needs : tuple of str
        The attribute columns without which it cannot be measured.
    note : str
        What it says, in plain English.
    """

    name: str
    title: str
    number: int
    better: Literal["higher", "lower", "half", "equal"]
    detects: bool = True
    needs: tuple[str, ...] = ()
    note: str


def attained_share(metric: Metric, value: float | None, ceiling: float | None, floor: float | None) -> float | None:
    """Return how much of the way from floor to ceiling a figure has gone.

    Parameters
    ----------
    metric : Metric
        The metric that the figures belong to.
    value, ceiling, floor : float or None
        Its figures for the synthetic trips, for fresh real trips, and for shuffled columns.

    Returns
    -------
    float or None
        (value − floor) / (ceiling − floor): 1 like fresh real trips, 0 like shuffled columns. None where shuffling
        proves nothing, where a figure is missing, or where the floor is not worse than the ceiling.
    """
    if not metric.detects or value is None or ceiling is None or floor is None:
        return None
    span = ceiling - floor
    is_open = span > 0 if metric.better == "higher" else span < 0
    return (value - floor) / span if is_open else None


METRICS = (
    # Rows by themselves.
    Metric(
        name="validity",
        title="Valid rows",
        number=1,
        better="higher",
        detects=False,
        note=(
            "Both stations are known and the end comes after the start. "
            "The trip is no faster than the vehicle's limit on the straight line."
        ),
    ),
    # Flows and single columns.
    Metric(
        name="od_cpc",
        title="OD flows, common part",
        number=2,
        better="higher",
        note="How much the flows from station to station have in common. 1 means they are equal.",
    ),
    Metric(
        name="od_cpc_tiles",
        title="OD flows on tiles",
        number=3,
        better="higher",
        note=f"The same for flows between the tiles of a map of {TILES} × {TILES}.",
    ),
    Metric(
        name="start_jsd",
        title="Start stations, JSD",
        number=4,
        better="lower",
        detects=False,
        note=f"How far the shares of start stations differ. {_SHUFFLED}",
    ),
    Metric(
        name="end_jsd",
        title="End stations, JSD",
        number=4,
        better="lower",
        detects=False,
        note=f"How far the shares of end stations differ. {_SHUFFLED}",
    ),
    Metric(
        name="hour_of_week_jsd",
        title="Hour of week, JSD",
        number=5,
        better="lower",
        note="How far the shares of the 168 hours of the week differ.",
    ),
    Metric(
        name="start_hour_jsd",
        title="Start × hour, JSD",
        number=6,
        better="lower",
        note="How far the shares of start station and hour of the day together differ.",
    ),
    Metric(
        name="distance_ks",
        title="Distance, KS",
        number=7,
        better="lower",
        note="The largest gap between the two distribution functions of straight-line distance.",
    ),
    Metric(
        name="distance_w1_km",
        title="Distance, W1 (km)",
        number=7,
        better="lower",
        note="How many kilometres distances must move on average to become the real ones.",
    ),
    Metric(
        name="duration_ks",
        title="Duration, KS",
        number=8,
        better="lower",
        detects=False,
        note=f"The largest gap between the two distribution functions of duration. {_SHUFFLED}",
    ),
    Metric(
        name="duration_w1",
        title="Duration, W1 / σ",
        number=8,
        better="lower",
        detects=False,
        note=(
            "How far durations must move on average to become the real ones. "
            "The unit is the standard deviation of the real durations."
        ),
    ),
    Metric(
        name="gender_tvd",
        title="Gender, TVD",
        number=9,
        better="lower",
        detects=False,
        needs=("gender",),
        note=f"How far the shares of genders differ. {_SHUFFLED}",
    ),
    Metric(
        name="user_type_tvd",
        title="User type, TVD",
        number=9,
        better="lower",
        detects=False,
        needs=("user_type",),
        note=f"How far the shares of user types differ. {_SHUFFLED}",
    ),
    Metric(
        name="birth_year_ks",
        title="Birth year, KS",
        number=9,
        better="lower",
        detects=False,
        needs=("birth_year",),
        note=f"The largest gap between the two distribution functions of birth year. {_SHUFFLED}",
    ),
    # Columns together.
    Metric(
        name="bivariate_accuracy",
        title="Column pairs, accuracy",
        number=10,
        better="higher",
        note=(
            "How well every pair of columns fits together: 1 − the mean total variation distance. "
            f"Numbers have {BINS} bins. The {TOP_STATIONS} most common stations have a bin each."
        ),
    ),
    Metric(
        name="k_marginal",
        title="K-marginal score",
        number=11,
        better="higher",
        note="0 to 1000. How well three columns at a time fit together within each start area and shift.",
    ),
    # Models: can trees tell it, and is it of use to train on?
    Metric(
        name="c2st_auc",
        title="Classifier real / synthetic, AUC",
        number=12,
        better="half",
        note=(
            "Gradient-boosted trees try to tell synthetic from real trips, in 3 folds. .5 means that they cannot tell."
        ),
    ),
    Metric(
        name="c2st_distance_auc",
        title="Classifier that is given the distance, AUC",
        number=12,
        better="half",
        note="The same trees also see the distance. This is stricter: a wrong speed betrays a trip.",
    ),
    Metric(
        name="tstr_duration_r2",
        title="Trained on it: duration, R²",
        number=13,
        better="higher",
        note=(
            "Trees learn the logarithm of duration from synthetic trips. They are tested on real ones. "
            "For the ceiling they learn from real trips."
        ),
    ),
    Metric(
        name="tstr_user_type_auc",
        title="Trained on it: user type, AUC",
        number=13,
        better="higher",
        needs=("user_type",),
        note="Trees learn from synthetic trips who has the most common user type. They are tested on real ones.",
    ),
    Metric(
        name="tstr_demand_r",
        title="Trained on it: demand, r",
        number=13,
        better="higher",
        note="How closely starts by station, weekend and hour follow the real ones.",
    ),
    # Daily networks.
    Metric(
        name="daily_cpc_jsd",
        title="Daily networks: flows, JS distance",
        number=14,
        better="lower",
        note=(
            "Are a real and a synthetic day as alike in flows as two real days? "
            "This is the protocol of MoGAN. It needs 20 dates."
        ),
    ),
    Metric(
        name="daily_weights_jsd",
        title="Daily networks: edge weights, JS distance",
        number=14,
        better="lower",
        note="The same for how many trips the links of a day have.",
    ),
    Metric(
        name="daily_clustering_jsd",
        title="Daily networks: clustering, JS distance",
        number=14,
        better="lower",
        note="The same for how many neighbours of a tile are linked to each other.",
    ),
    Metric(
        name="daily_degrees_jsd",
        title="Daily networks: degrees, JS distance",
        number=14,
        better="lower",
        note="The same for how many tiles a tile is linked to.",
    ),
    Metric(
        name="daily_cpc_within_jsd",
        title="Daily networks: within synthetic, JS distance",
        number=14,
        better="lower",
        note="Do the flows of synthetic days differ from each other as those of real days do?",
    ),
    # Copying.
    Metric(
        name="dcr_share",
        title="Nearer to training than to held-out rows",
        number=15,
        better="half",
        detects=False,
        note="The share of rows that lie nearer to a training row. Ties count half. Above .5 means copying.",
    ),
    Metric(
        name="ims",
        title="Identical to a training row",
        number=15,
        better="equal",
        detects=False,
        note="It should not be above the share for fresh real trips.",
    ),
    Metric(
        name="nndr_p5",
        title="Nearest / second nearest, 5th percentile",
        number=16,
        better="equal",
        detects=False,
        note="Far below the figure for real trips means copies of single rows.",
    ),
    Metric(
        name="membership_auc",
        title="Who trained it, guessed: AUC",
        number=17,
        better="half",
        detects=False,
        note=(
            "An attacker guesses who trained the generator, by the distance to the nearest synthetic row. "
            ".5 is guessing."
        ),
    ),
    Metric(
        name="membership_tpr",
        title="Who trained it, hits at 1 % false alarms",
        number=17,
        better="equal",
        detects=False,
        note="How many training rows the same attacker finds. .01 is guessing.",
    ),
    # Pictures.
    Metric(
        name="picture_swd",
        title="Pictures, sliced Wasserstein / σ",
        number=18,
        better="lower",
        note="The codec draws several trips to a picture. All planes are compared along random directions.",
    ),
    Metric(
        name="picture_density",
        title="Pictures, density",
        number=18,
        better="higher",
        note="Low where pictures look like no real one, above 1 where they crowd. It looks at 5 neighbours.",
    ),
    Metric(
        name="picture_coverage",
        title="Pictures, coverage",
        number=18,
        better="higher",
        note="The share of real pictures that have a synthetic one near.",
    ),
    Metric(
        name="picture_mass",
        title="Pictures, total mass, W1 / mean",
        number=18,
        better="lower",
        note="How far the length of all strokes and blobs in a picture differs.",
    ),
    Metric(
        name="picture_active_cells",
        title="Pictures, active cells, W1 / mean",
        number=18,
        better="lower",
        note="How far the share of pixels that hold a trip differs.",
    ),
)
