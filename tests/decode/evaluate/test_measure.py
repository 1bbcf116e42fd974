"""The judge on known answers: fresh trips, copies, shuffled columns; a street, the simulated city, Jersey City."""

import inspect
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from decode.__main__ import app, compare_command
from decode.evaluate.measure import ROWS_CAP, join_thirds, measure_tables
from decode.evaluate.metric_list import METRICS
from rasterize.errors import InputError
from rasterize.ingest.ingest import read_trips
from rasterize.simulated_city import write_city


def street_trips(rows: int, *, seed: int) -> pd.DataFrame:
    """Trips along a street of eight stations: the end depends on the start, duration on distance, type on the hour."""
    rng = np.random.default_rng(seed)
    start = rng.choice(8, rows, p=np.arange(1, 9) / 36)
    end = np.clip(start + rng.integers(-2, 3, rows), 0, 7)
    hour = np.where(start < 4, rng.integers(7, 10, rows), rng.integers(16, 23, rows))
    minutes = rng.integers(0, 28, rows) * 1440 + hour * 60 + rng.integers(0, 60, rows)
    started = pd.Timestamp("2019-01-07") + pd.to_timedelta(minutes, unit="min")
    seconds = np.round((200 + 250 * abs(start - end)) * rng.lognormal(0, 0.2, rows))
    trips = pd.DataFrame(
        {
            "started_at": started,
            "ended_at": started + pd.to_timedelta(seconds, unit="s"),
            "duration_s": seconds,
            "start_station_id": [f"p{k}" for k in start],
            "end_station_id": [f"p{k}" for k in end],
            "start_lat": 40 + start / 200,
            "start_lng": -74.0,
            "end_lat": 40 + end / 200,
            "end_lng": -74.0,
            "user_type": np.where(rng.random(rows) < hour / 30, "Customer", "Subscriber"),
            "gender": rng.choice(["male", "female", "unknown"], rows),
            "birth_year": pd.array(rng.integers(1950, 2002, rows), dtype="Int16"),
        }
    )
    trips["split"] = rng.choice(list("ABC"), rows)
    return trips


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    return street_trips(1200, seed=1)


def part(trips: pd.DataFrame, split: str) -> pd.DataFrame:
    return trips[trips["split"] == split].drop(columns="split")


def values(figures: dict, key: str = "value") -> dict[str, float | None]:
    return {name: figure[key] for name, figure in figures["metrics"].items()}


# ---- known answers -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fresh(real) -> dict:
    return measure_tables(real, part(street_trips(1200, seed=2), "A"), seed=5).figures


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
    figures = measure_tables(real, part(real, "A"), seed=5).figures
    found = values(figures)
    n, trained = figures["n"], (real["split"] == "A").sum()
    assert found["ims"] >= (n / trained) ** 2 - 0.05  # copies of rows that the cut to equal length left in
    assert found["dcr_share"] > 0.8 and found["nndr_p5"] == 0
    assert found["membership_auc"] > 0.8 and found["membership_tpr"] > 0.8
    assert figures["metrics"]["c2st_auc"]["attained"] > 0.8


def shuffle_trips(trips: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Trips of which every column, or group of columns that belong together, is shuffled on its own."""
    rng, shuffled = np.random.default_rng(seed), trips.copy()
    ends = [[f"{end}_station_id", f"{end}_lat", f"{end}_lng"] for end in ("start", "end")]
    for columns in (*ends, ["duration_s"], ["user_type"], ["gender"], ["birth_year"]):
        shuffled[columns] = trips[columns].iloc[rng.permutation(len(trips))].to_numpy()
    shuffled["duration_s"] = shuffled["duration_s"].astype(float)
    started = trips["started_at"].dt
    minutes = rng.permutation(started.hour.to_numpy()) * 60 + rng.permutation(started.minute.to_numpy())
    shuffled["started_at"] = rng.permutation(started.floor("D").to_numpy()) + pd.to_timedelta(minutes, unit="min")
    shuffled["ended_at"] = shuffled["started_at"] + pd.to_timedelta(shuffled["duration_s"], unit="s")
    return shuffled


@pytest.fixture(scope="module")
def city(tmp_path_factory) -> dict:
    """Figures of fresh, copied, drawn-again and shuffled trips of the simulated city, 1500 of each."""
    path = tmp_path_factory.mktemp("city") / "city.csv"
    write_city(path, trips=6200, stations=12)
    trips = read_trips([path]).dropna(subset=["start_station_id", "end_station_id"])
    parts = {}
    for k, name in enumerate("ABCD"):
        rows = np.random.default_rng(0).permutation(len(trips))[k * 1500 : (k + 1) * 1500]
        parts[name] = trips.iloc[rows].reset_index(drop=True)
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
    assert measure_tables(real, part(street_trips(1200, seed=2), "A"), seed=5).figures == fresh


def test_ceiling_and_floor_do_not_depend_on_what_is_judged(real):
    first, second = (measure_tables(real, part(street_trips(2400, seed=k), "A"), rows_cap=90).figures for k in (2, 3))
    assert values(first) != values(second)
    for key in ("ceiling", "floor"):
        assert values(first, key) == values(second, key)


def test_tables_are_cut_to_one_length(real):
    measurement = measure_tables(real, part(real, "C"), rows_cap=100)
    assert measurement.figures["n"] == len(measurement.holdout) == len(measurement.shown) == 100
    assert measurement.figures["rows"] == {"real": 1200, "synthetic": (real["split"] == "C").sum()}


def test_of_several_tables_the_last_is_shown_and_each_has_what_it_attained(real):
    shuffled, fresh = shuffle_trips(part(real, "A"), seed=1), part(real, "C")
    measurement = measure_tables(real, shuffled, others={"again": shuffled, "fresh": fresh})
    pd.testing.assert_frame_equal(measurement.shown, measure_tables(real, fresh).shown, check_dtype=False)
    assert measurement.figures["worst_pairs"] == measure_tables(real, fresh).figures["worst_pairs"]
    flows = measurement.figures["metrics"]["od_cpc"]
    assert flows["attained"] == flows["others_attained"]["again"] < 0.25 and flows["others_attained"]["fresh"] > 0.9


def test_invalid_rows_are_counted(real):
    synthetic = part(real, "C").head(100).reset_index(drop=True)
    synthetic.loc[:9, "start_station_id"] = "nowhere"
    assert measure_tables(real, synthetic).figures["metrics"]["validity"]["value"] == pytest.approx(0.9)
    known = pd.DataFrame({"station_id": ["nowhere"]})
    assert measure_tables(real, synthetic, stations=known).figures["metrics"]["validity"]["value"] == 1


def test_the_worst_pairs_are_those_that_were_broken(real):
    synthetic = part(street_trips(1200, seed=2), "A")
    synthetic["gender"] = np.where(synthetic["user_type"] == "Customer", "male", "female")
    worst = measure_tables(real, synthetic).figures["worst_pairs"]
    assert len(worst) == 5 and all("gender" in pair["columns"] for pair in worst)
    assert worst[0]["columns"] == ["user_type", "gender"]
    assert worst[0]["tvd"] > 3 * worst[0]["ceiling"]


# ---- what is absent ------------------------------------------------------------------------------------------------


def test_without_a_split_copying_is_not_measured(real):
    figures = measure_tables(real.drop(columns="split"), part(real, "A"), rows_cap=60).figures
    for name in ("dcr_share", "ims", "nndr_p5", "membership_auc", "membership_tpr"):
        assert figures["metrics"][name]["value"] is None
        assert "split" in figures["metrics"][name]["note"]
    assert figures["metrics"]["od_cpc"]["value"] > 0
    assert "unknown" in figures["thirds"]


@pytest.mark.parametrize("drop", ["real", "synthetic", "empty"])
def test_absent_attributes_are_null_with_the_reason(real, drop):
    synthetic = part(real, "C")
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


def test_the_barest_tables_are_judged(real):
    bare = [t.drop(columns=["user_type", "gender", "birth_year"]) for t in (real, part(real, "C"))]
    figures = measure_tables(*bare, rows_cap=60).figures
    assert figures["metrics"]["tstr_user_type_auc"]["value"] is None
    assert figures["metrics"]["c2st_auc"]["value"] is not None


def test_without_days_or_pictures_the_reason_is_said(real):
    """A table whose trips all lie in one week, as a rival's do, and one of too few trips."""
    fresh = part(real, "C")
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
    figures = measure_tables(gaps, part(gaps, "C")).figures
    assert all(value is not None for value in values(figures).values())
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
        measure_tables(*change(real, part(real, "C")))
    assert "; " in str(error.value) and "\n" not in str(error.value)


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(real, tmp_path_factory) -> dict[str, str]:
    """Each third in a file of its own, all three in one, and fresh trips, 150 rows of each."""
    folder = tmp_path_factory.mktemp("files")
    parts = {name: part(real, name).head(150) for name in "ABC"}
    tables = {**parts, "real": join_thirds(parts), "new": part(street_trips(900, seed=2), "A").head(150)}
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet")
    return {name: str(folder / f"{name}.parquet") for name in tables}


def run_compare(*arguments: str):
    return CliRunner().invoke(app, ["compare", *arguments])


def test_three_files_are_judged_like_one_with_a_split(files, tmp_path):
    first, second = str(tmp_path / "three.json"), str(tmp_path / "one.json")
    three = ["--train", files["A"], "--holdout", files["B"], "--fresh", files["C"], files["new"]]
    done = run_compare(*three, "--json", first, "--also", f"copied={files['A']}", "--rows", "120")
    assert done.exit_code == 0, done.output
    assert "copied" in done.output.splitlines()[0] and f"figures: {first}" in done.output
    assert run_compare(files["real"], files["new"], "--json", second, "--rows", "120").exit_code == 0
    figures, others = (json.loads(Path(path).read_text()) for path in (first, second))
    assert figures["n"] == 120 and figures["others"] == ["copied"]
    for key in ("value", "ceiling", "floor"):
        assert values(figures, key) == values(others, key)
    assert figures["metrics"]["ims"]["others"]["copied"] > 0.7 > figures["metrics"]["ims"]["value"]
    assert [path.name for path in tmp_path.iterdir()].count("index.html") == 0


def test_calibrated_trips_of_a_run_are_shown_beside_its_raw_ones(files, tmp_path):
    shutil.copy(files["C"], tmp_path / "calibrated.parquet")
    run = ["--run", str(tmp_path), "--rows", "60"]
    assert run_compare(files["real"], files["new"], *run).exit_code == 0
    figures = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert figures["others"] == ["calibrated"]
    assert 'data-label="calibrated"' in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert run_compare(files["real"], str(tmp_path / "calibrated.parquet"), *run).exit_code == 0
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["others"] == []


def test_the_command_cuts_like_the_function():
    assert inspect.signature(compare_command).parameters["rows"].default == ROWS_CAP


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["A", "B", "--train", "A", "--holdout", "B"], "go together; there is no --fresh"),
        (["A"], "give REAL and SYNTHETIC"),
        (["A", "B", "--train", "A", "--holdout", "B", "--fresh", "C"], "give SYNTHETIC alone"),
        (["real", "new", "--rows", "3"], "--rows 3"),
        (["real", "new", "--json", "x", "--out", "y"], "leave out --out"),
        (["real", "new", "--also", "B"], "expected NAME=FILE"),
    ],
)
def test_options_that_contradict_each_other_are_refused(files, arguments, words):
    done = run_compare(*[files.get(word, word) for word in arguments])
    assert isinstance(done.exception, InputError) and words in str(done.exception)


# ---- the published test --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jersey_city(shared_data) -> pd.DataFrame:
    """January and February 2019, trips of at most two hours, thirds at random."""
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
    figures = measure_tables(jersey_city, part(jersey_city, "C"), rows_cap=20_000).figures
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
        found = figures["metrics"][name]
        assert found["ceiling"] == pytest.approx(ceiling, abs=noise), name
        assert floor is None or found["floor"] == pytest.approx(floor, abs=noise), name
