"""Known answers: fresh trips, copies, shuffled columns; a street, the simulated city, Jersey City."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from decode.evaluate.measure import join_thirds, measure_tables
from decode.evaluate.metric_list import METRICS
from rasterize.distance import METRES_PER_DEGREE
from rasterize.errors import InputError
from rasterize.ingest.ingest import read_trips
from rasterize.simulated_city import write_city
from tests.trip_tables import street_trips, take_third, take_values


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    """Return the real trips of the street, with their thirds."""
    return street_trips(1200, seed=1)


# ---- known answers -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fresh(real) -> dict:
    """Return the figures of fresh trips of the street."""
    return measure_tables(real, take_third(street_trips(1200, seed=2), "A"), seed=5).figures


def test_every_metric_has_value_ceiling_and_floor(fresh):
    assert list(fresh["metrics"]) == [metric.name for metric in METRICS]
    for name, figure in fresh["metrics"].items():
        assert figure["value"] is not None and figure["ceiling"] is not None, name
        assert (figure["floor"] is None) == (name == "validity")
        assert figure["better"] in ("higher", "lower", "half", "equal")
    json.dumps(fresh, allow_nan=False)


def test_fresh_trips_come_out_at_the_ceiling(fresh):
    figures = fresh["metrics"]
    assert figures["validity"]["value"] == 1
    for name in ("od_cpc", "distance_ks", "c2st_auc", "tstr_duration_r2", "start_hour_jsd", "k_marginal"):
        assert figures[name]["attained"] > 0.8, name
    # five standard errors of a share of n rows
    for key in ("value", "ceiling", "floor"):
        assert figures["dcr_share"][key] == pytest.approx(0.5, abs=2.5 / fresh["n"] ** 0.5), key
        assert figures["ims"][key] == 0, key


def test_a_copy_of_the_training_trips_is_seen_only_by_the_copying_metrics(real):
    figures = measure_tables(real, take_third(real, "A"), seed=5).figures
    copied = take_values(figures)
    n, trained = figures["n"], (real["split"] == "A").sum()
    assert copied["ims"] >= (n / trained) ** 2 - 0.05  # copies of rows that the cut to equal length left in
    assert copied["dcr_share"] > 0.8 and copied["nndr_p5"] == 0
    assert copied["membership_auc"] > 0.8 and copied["membership_tpr"] > 0.8
    assert figures["metrics"]["c2st_auc"]["attained"] > 0.8


def shuffle_trips(trips: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Shuffle every column, or group of columns that belong together, on its own."""
    rng, shuffled = np.random.default_rng(seed), trips.copy()
    # A station and its coordinates stay together.
    ends = [[f"{end}_station_id", f"{end}_lat", f"{end}_lng"] for end in ("start", "end")]
    for columns in (*ends, ["duration_s"], ["user_type"], ["gender"], ["birth_year"]):
        shuffled[columns] = trips[columns].iloc[rng.permutation(len(trips))].to_numpy()
    shuffled["duration_s"] = shuffled["duration_s"].astype(float)

    # Hour, minute and date are columns of their own.
    started = trips["started_at"].dt
    minutes = rng.permutation(started.hour.to_numpy()) * 60 + rng.permutation(started.minute.to_numpy())
    shuffled["started_at"] = rng.permutation(started.floor("D").to_numpy()) + pd.to_timedelta(minutes, unit="min")
    shuffled["ended_at"] = shuffled["started_at"] + pd.to_timedelta(shuffled["duration_s"], unit="s")
    return shuffled


@pytest.fixture(scope="module")
def city(tmp_path_factory) -> dict:
    """Measure fresh, copied, drawn-again and shuffled trips of the simulated city, 1500 of each."""
    path = tmp_path_factory.mktemp("city") / "city.csv"
    write_city(path, trips=6200, stations=12)
    trips = read_trips([path]).dropna(subset=["start_station_id", "end_station_id"])

    # Cut 1500 random trips for each third, and as many for fresh synthetic ones.
    parts = {}
    for k, name in enumerate("ABCD"):
        rows = np.random.default_rng(0).permutation(len(trips))[k * 1500 : (k + 1) * 1500]
        parts[name] = trips.iloc[rows].reset_index(drop=True)

    # Three kinds of bad trips: copies, trips drawn again with repeats, and shuffled columns.
    bootstrap = parts["A"].sample(1500, replace=True, random_state=0)
    others = {"copy": parts["A"], "bootstrap": bootstrap, "shuffled": shuffle_trips(parts["A"], seed=1)}
    figures = measure_tables(join_thirds(parts), parts["D"], others=others).figures
    return {
        name: {"fresh": figure["value"], "ceiling": figure["ceiling"], "floor": figure["floor"], **figure["others"]}
        for name, figure in figures["metrics"].items()
    }


# standard errors for 1500 rows: a share's at most .5 / sqrt(n); an AUC's sqrt((2n + 1) / (12 n²))
CITY_SHARE_SE, CITY_AUC_SE = 0.5 / 1500**0.5, (3001 / (12 * 1500**2)) ** 0.5


def test_fresh_city_trips_are_real_and_copy_nobody(city):
    for name in ("fresh", "ceiling"):
        assert city["c2st_auc"][name] == pytest.approx(0.5, abs=4 * CITY_AUC_SE)
    assert city["dcr_share"]["fresh"] == pytest.approx(0.5, abs=4 * CITY_SHARE_SE)
    # outsiders are half as many as members: their AUC is less certain
    assert city["membership_auc"]["fresh"] == pytest.approx(0.5, abs=6 * CITY_AUC_SE)
    assert city["membership_tpr"]["fresh"] < 0.03
    assert city["ims"]["fresh"] <= city["ims"]["ceiling"] + 2 / 1500


def test_copied_city_trips_are_taken_for_real_and_for_copies(city):
    assert city["c2st_auc"]["copy"] == pytest.approx(0.5, abs=4 * CITY_AUC_SE)
    assert city["od_cpc"]["copy"] == pytest.approx(city["od_cpc"]["ceiling"], abs=0.02)
    for name in ("copy", "bootstrap"):
        assert city["ims"][name] == 1 and city["dcr_share"][name] > 0.97, name
    assert city["membership_auc"]["copy"] > 0.97 and city["membership_tpr"]["copy"] > 0.97


def test_who_was_drawn_again_is_guessed_and_nobody_else(city):
    drawn = 1 - np.exp(-1)  # of the training trips; the others are guessed like outsiders
    assert city["membership_auc"]["bootstrap"] == pytest.approx(drawn + (1 - drawn) / 2, abs=6 * CITY_AUC_SE)
    assert city["membership_tpr"]["bootstrap"] == pytest.approx(drawn, abs=4 * CITY_SHARE_SE)


def test_shuffled_city_trips_come_out_at_the_floor(city):
    for metric in METRICS:
        if metric.detects and metric.number != 14:  # pairs of 28 days: chance moves them as far as shuffling does
            value, ceiling, floor = (city[metric.name][name] for name in ("shuffled", "ceiling", "floor"))
            attained = (value - floor) / (ceiling - floor)
            assert abs(attained) < 0.25, metric.name
    for name in ("daily_cpc_jsd", "daily_cpc_within_jsd"):
        assert min(city[name]["shuffled"], city[name]["floor"]) > 1.5 * city[name]["ceiling"], name
    assert city["membership_auc"]["shuffled"] == pytest.approx(0.5, abs=6 * CITY_AUC_SE)
    assert city["ims"]["shuffled"] == 0


def test_one_seed_one_answer(real, fresh):
    assert measure_tables(real, take_third(street_trips(1200, seed=2), "A"), seed=5).figures == fresh


def test_ceiling_and_floor_do_not_depend_on_what_is_measured(real):
    first, second = (
        measure_tables(real, take_third(street_trips(2400, seed=k), "A"), rows_cap=90).figures for k in (2, 3)
    )
    assert take_values(first) != take_values(second)
    for key in ("ceiling", "floor"):
        assert take_values(first, key) == take_values(second, key)


def test_tables_are_cut_to_one_length(real):
    measurement = measure_tables(real, take_third(real, "C"), rows_cap=100)
    assert measurement.figures["n"] == len(measurement.holdout) == len(measurement.shown) == 100
    assert measurement.figures["rows"] == {"real": 1200, "synthetic": (real["split"] == "C").sum()}


def test_of_several_tables_the_last_is_shown_and_each_has_what_it_attained(real):
    shuffled, fresh = shuffle_trips(take_third(real, "A"), seed=1), take_third(real, "C")
    measurement = measure_tables(real, shuffled, others={"again": shuffled, "fresh": fresh})
    pd.testing.assert_frame_equal(measurement.shown, measure_tables(real, fresh).shown, check_dtype=False)
    assert measurement.figures["worst_pairs"] == measure_tables(real, fresh).figures["worst_pairs"]
    flows = measurement.figures["metrics"]["od_cpc"]
    assert flows["attained"] == flows["others_attained"]["again"] < 0.25 and flows["others_attained"]["fresh"] > 0.9


def test_invalid_rows_are_counted(real):
    synthetic = take_third(real, "C").head(100).reset_index(drop=True)
    synthetic.loc[:9, "start_station_id"] = "nowhere"
    assert measure_tables(real, synthetic).figures["metrics"]["validity"]["value"] == pytest.approx(0.9)
    known = pd.DataFrame({"station_id": ["nowhere"]})
    assert measure_tables(real, synthetic, stations=known).figures["metrics"]["validity"]["value"] == 1


def test_trips_above_the_speed_limit_are_invalid(real):
    synthetic = take_third(real, "C")
    distance = abs(synthetic["end_lat"] - synthetic["start_lat"]) * METRES_PER_DEGREE
    limit = float((distance / synthetic["duration_s"]).median()) * 3.6
    slow = measure_tables(real, synthetic, limit_kmh=limit, rows_cap=120).figures["metrics"]["validity"]
    assert 0.4 < slow["value"] < 0.6 and 0.4 < slow["ceiling"] < 0.6


def test_the_worst_pairs_are_those_that_were_broken(real):
    synthetic = take_third(street_trips(1200, seed=2), "A")
    synthetic["gender"] = np.where(synthetic["user_type"] == "Customer", "male", "female")
    worst = measure_tables(real, synthetic).figures["worst_pairs"]
    assert len(worst) == 5 and all("gender" in pair["columns"] for pair in worst)
    assert worst[0]["columns"] == ["user_type", "gender"]
    assert worst[0]["tvd"] > 3 * worst[0]["ceiling"]


# ---- what is absent ------------------------------------------------------------------------------------------------


def test_without_a_split_copying_is_not_measured(real):
    figures = measure_tables(real.drop(columns="split"), take_third(real, "A"), rows_cap=60).figures
    for name in ("dcr_share", "ims", "nndr_p5", "membership_auc", "membership_tpr"):
        assert figures["metrics"][name]["value"] is None
        assert "split" in figures["metrics"][name]["note"]
    assert figures["metrics"]["od_cpc"]["value"] > 0
    assert "unknown" in figures["thirds"]


@pytest.mark.parametrize("drop", ["real", "synthetic", "empty"])
def test_absent_attributes_are_null_with_the_reason(real, drop):
    synthetic = take_third(real, "C")
    if drop == "empty":
        synthetic = synthetic.assign(gender=None)
    elif drop == "synthetic":
        synthetic = synthetic.drop(columns="gender")
    figures = measure_tables(real.drop(columns="gender") if drop == "real" else real, synthetic, rows_cap=60).figures
    assert "gender" not in figures["columns"]
    entry = figures["metrics"]["gender_tvd"]
    assert entry["value"] is entry["ceiling"] is entry["floor"] is None
    where = "real" if drop == "real" else "synthetic"
    assert entry["note"] == f"not measured: no gender in the {where} trips"


def test_the_barest_tables_are_measured(real):
    bare = [t.drop(columns=["user_type", "gender", "birth_year"]) for t in (real, take_third(real, "C"))]
    figures = measure_tables(*bare, rows_cap=60).figures
    assert figures["metrics"]["tstr_user_type_auc"]["value"] is None
    assert figures["metrics"]["c2st_auc"]["value"] is not None


def test_without_days_or_pictures_the_reason_is_said(real):
    """Measure a table whose trips all lie in one week, as a rival's do, and one of too few trips."""
    fresh = take_third(real, "C")
    monday = pd.Timestamp("2019-01-07")
    started = monday + (fresh["started_at"] - monday) % pd.Timedelta("7D")
    metrics = measure_tables(real, fresh.assign(started_at=started)).figures["metrics"]
    assert started.dt.floor("D").nunique() == 7
    for metric in METRICS:
        entry = metrics[metric.name]
        assert (entry["value"] is None) == (metric.number == 14), metric.name
        assert metric.number != 14 or entry["note"].startswith("not measured: fewer than 20 dates")
        assert entry["ceiling"] is not None and (entry["attained"] is None or metric.number != 14)
    few = measure_tables(real, fresh, rows_cap=60).figures["metrics"]
    assert few["picture_swd"]["value"] is few["picture_swd"]["ceiling"] is None
    assert few["picture_swd"]["note"] == "not measured: a table has trips for fewer than 20 pictures of 8"


def test_dates_are_no_compared_column(fresh):
    assert "date" not in fresh["columns"] and not any("date" in pair["columns"] for pair in fresh["worst_pairs"])


def test_gaps_in_attributes_are_no_obstacle(real):
    gaps = real.assign(
        birth_year=real["birth_year"].where(np.arange(len(real)) % 3 > 0),
        user_type=real["user_type"].where(np.arange(len(real)) % 5 > 0),
    )
    figures = measure_tables(gaps, take_third(gaps, "C")).figures
    assert all(value is not None for value in take_values(figures).values())
    json.dumps(figures, allow_nan=False)


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r, s: (r, s.head(0)), "synthetic trips: 0 rows"),
        (lambda r, s: (r.head(80), s), "real trips: 80 rows"),
        (
            lambda r, s: (r, s.drop(columns=["end_lat", "duration_s"])),
            "synthetic trips: no column 'end_lat', 'duration_s'",
        ),
        (lambda r, s: (r.assign(started_at=pd.NaT), s), "real trips: missing values in 'started_at'"),
        (lambda r, s: (r, s.assign(start_station_id="x", end_station_id="y")), "no station of the real trips"),
        (lambda r, s: (r.assign(split="A"), s), "B has 0, C has 0"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(real, change, words):
    with pytest.raises(InputError, match=words) as error:
        measure_tables(*change(real, take_third(real, "C")))
    assert "; " in str(error.value) and "\n" not in str(error.value)


# ---- the published test --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jersey_city(shared_data) -> pd.DataFrame:
    """Read January and February 2019: trips of at most two hours, in random thirds."""
    tables = []
    for month in ("201901", "201902"):
        with zipfile.ZipFile(shared_data / "citibike-jc" / f"JC-{month}-citibike-tripdata.csv.zip") as archive:
            name = next(name for name in archive.namelist() if not name.startswith("__MACOSX"))
            with archive.open(name) as file:
                tables.append(pd.read_csv(file, dtype={"start station id": str, "end station id": str}))
    trips = pd.concat(tables, ignore_index=True).rename(
        columns={"starttime": "started_at", "stoptime": "ended_at", "tripduration": "duration_s"}
        | {"usertype": "user_type", "birth year": "birth_year"}
        | {f"{end} station id": f"{end}_station_id" for end in ("start", "end")}
        | {f"{end} station latitude": f"{end}_lat" for end in ("start", "end")}
        | {f"{end} station longitude": f"{end}_lng" for end in ("start", "end")}
    )
    trips = trips[trips["duration_s"] <= 7200]
    trips["gender"] = trips["gender"].map({0: "unknown", 1: "male", 2: "female"})
    return trips.assign(split=np.array(list("ABC"))[np.random.default_rng(0).permutation(len(trips)) % 3])


def test_jersey_city_has_the_published_ceilings_and_floors(jersey_city):
    figures = measure_tables(jersey_city, take_third(jersey_city, "C"), rows_cap=20_000).figures
    assert figures["n"] == 12_723
    published = {  # ceiling, floor, and how far two random splits into thirds were seen to differ
        "od_cpc": (0.852, 0.450, 0.010),
        "start_jsd": (0.0015, None, 0.0007),
        "end_jsd": (0.0008, None, 0.0010),
        "hour_of_week_jsd": (0.0046, 0.024, 0.004),
        "start_hour_jsd": (0.031, 0.102, 0.008),
        "duration_ks": (0.010, None, 0.008),
        "bivariate_accuracy": (0.957, 0.925, 0.005),
        "c2st_auc": (0.501, 0.912, 0.025),
        "tstr_duration_r2": (0.618, -0.01, 0.06),  # ours never stop early: their floor is -.047
        "tstr_user_type_auc": (0.925, 0.405, 0.15),  # trees trained on shuffled columns: .38 to .51 on six splits
        "tstr_demand_r": (0.976, 0.744, 0.03),
        "dcr_share": (0.493, 0.506, 0.025),
        "ims": (0.0002, 0.0, 0.0003),
        "nndr_p5": (0.360, 0.736, 0.02),
    }
    for name, (ceiling, floor, noise) in published.items():
        figure = figures["metrics"][name]
        assert figure["ceiling"] == pytest.approx(ceiling, abs=noise), name
        assert floor is None or figure["floor"] == pytest.approx(floor, abs=noise), name
