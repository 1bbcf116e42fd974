"""The fidelity benchmark: rivals keep what they say they keep, our row must come from the same split, one table."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.fidelity.__main__ import app, known_ends, table
from benchmarks.fidelity.codec import fresh_through_codec
from benchmarks.fidelity.external import external_rivals
from benchmarks.fidelity.ours import Recipe, make_ours, stages_of, took_file
from benchmarks.fidelity.rivals import draw_from_leaves, independent_columns, joint_histograms, sequential_trees
from benchmarks.fidelity.sets import SETS, WINTER, trip_set
from benchmarks.fidelity.split import check_same_split, to_trips, training_table
from decode.evaluate.tables import ATTRIBUTES, tabulate
from rasterize.errors import InputError
from rasterize.ingest.ingest import ingest_files
from rasterize.ingest.options import IngestOptions
from rasterize.run import raster
from rasterize.simulated_city import write_city
from rasterize.strokes.options import RasterOptions


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of the simulated city, split into thirds."""
    folder = tmp_path_factory.mktemp("fidelity")
    write_city(folder / "city.csv", trips=1800, stations=8)
    ingest_files([folder / "city.csv"], folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def real(run):
    return pd.read_parquet(run / "trips.parquet")


@pytest.fixture(scope="module")
def training(real):
    return training_table(real)


def rows_of(table, columns):
    return set(table[list(columns)].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("rival", "kept", "broken"),
    [
        (independent_columns, [["start"], ["duration_s"]], [["start", "end"], ["hour", "minute", "day_of_week"]]),
        (joint_histograms, [["start", "end"], ["day_of_week", "hour", "minute"]], [["start", "hour", "minute"]]),
        (sequential_trees(5), [["start"], ["duration_s"]], [["start", "end", "hour", "duration_s"]]),
    ],
)
def test_rivals_keep_the_blocks_they_draw_together_and_no_more(training, rival, kept, broken):
    train, places = training
    drawn = rival(train, places, np.random.default_rng(0))
    assert list(drawn) == list(train) and len(drawn) == len(train)
    for columns in kept:
        assert rows_of(drawn, columns) <= rows_of(train, columns)
    for columns in broken:
        assert not rows_of(drawn, columns) <= rows_of(train, columns)


def test_trees_learn_that_long_trips_take_longer(training):
    train, places = training

    def distance_and_duration(rows):
        trips = to_trips(rows, places)
        apart = np.hypot(trips["start_lat"] - trips["end_lat"], trips["start_lng"] - trips["end_lng"])
        return np.corrcoef(apart, np.log(trips["duration_s"]))[0, 1]

    learned, shuffled = (
        distance_and_duration(rival(train, places, np.random.default_rng(0)))
        for rival in (sequential_trees(5), independent_columns)
    )
    assert learned > 0.7 * distance_and_duration(train) > 0.3 and abs(shuffled) < 0.15


def test_trees_draw_what_is_missing_where_it_is_missing(training):
    train, places = training
    guest = train["user_type"] == "Customer"
    holes = train.assign(birth_year=train["birth_year"].mask(guest))
    drawn = sequential_trees(5)(holes, places, np.random.default_rng(0))
    lost = drawn["birth_year"].isna().groupby(drawn["user_type"]).mean()
    assert guest.sum() > 20 and lost["Customer"] == 1 and lost["Subscriber"] == 0


def test_the_codec_alone_keeps_what_is_missing(tmp_path):
    write_city(tmp_path / "city.csv", trips=1800, stations=8)
    city = pd.read_csv(tmp_path / "city.csv", dtype=str)
    city.assign(**{"birth year": city["birth year"].mask(city["usertype"] == "Customer")}).to_csv(tmp_path / "city.csv")
    raster([str(tmp_path / "city.csv")], tmp_path, ingest_options=IngestOptions(), options=RasterOptions())
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    through = fresh_through_codec(tmp_path, trips, seed=0)
    assert 20 < through["birth_year"].isna().sum() < 900
    pd.testing.assert_series_equal(through["birth_year"].isna(), trips["birth_year"].isna())
    assert (through["duration_s"] != trips["duration_s"]).mean() > 0.5


def test_values_are_drawn_from_their_own_leaf():
    leaves = np.array([3, 1, 3, 1, 7])
    wanted = np.repeat([7, 1, 3], 40)
    drawn = draw_from_leaves(leaves * 10 + np.arange(5), leaves, wanted, np.random.default_rng(0))
    assert (drawn // 10 == wanted).all() and set(drawn) == {30, 11, 32, 13, 74}  # every value of a leaf comes up


def test_tables_become_trips_and_tables_again(training):
    train, places = training
    again = tabulate(to_trips(train, places), [column for column in ATTRIBUTES if column in train])
    pd.testing.assert_frame_equal(again, train, check_dtype=False)


def test_trips_at_masked_stations_are_left_out_and_counted(training, capsys):
    train, places = training
    masked = train.assign(start=train["start"].where(train.index != 3, "_RARE_"))
    left = known_ends("ARGN", to_trips(masked, places))
    assert len(left) == len(train) - 1 and left["start_lat"].notna().all()
    assert capsys.readouterr().out.startswith(f"ARGN: 1 of {len(train)} rows are left out, at no station")
    assert len(known_ends("ARGN", to_trips(train, places))) == len(train) and not capsys.readouterr().out


def test_a_run_on_another_split_is_refused(run, real, tmp_path):
    check_same_split(real, run, [], 0)
    with pytest.raises(InputError, match="no trips.parquet"):
        check_same_split(real, tmp_path, [], 0)
    with pytest.raises(InputError, match="A split than the benchmark's.*--seed 3"):
        check_same_split(real.assign(split=real["split"].to_numpy()[::-1]), run, [], 3)
    with pytest.raises(InputError, match="other trips"):
        check_same_split(real.head(900), run, [], 0)


def test_absent_data_and_unknown_names_are_said(tmp_path):
    with pytest.raises(InputError, match="no .*JC-201901.* and no .*JC-201902.*--data"):
        SETS[WINTER].files(tmp_path)
    with pytest.raises(InputError, match="--trips paris: unknown; there are jersey-city, jersey-city-year, new-york"):
        trip_set("paris")
    assert list(external_rivals(["tvae", "tvae"])) == ["tvae"]
    with pytest.raises(InputError, match="--external gan: unknown; there are tabular-argn, tvae, ctgan"):
        external_rivals(["gan"])


def test_sets_find_their_files(shared_data):
    found = {name: [path.name for path in one.files(shared_data)] for name, one in SETS.items()}
    assert [name[:9] for name in found[WINTER]] == ["JC-201901", "JC-201902"]
    assert found["jersey-city-year"][0].startswith("JC-201809") and len(found["jersey-city-year"]) == 12
    assert found["new-york"] == ["nyc-652k-trips.parquet"]


def test_one_command_judges_rivals_and_runs(run, real, tmp_path, monkeypatch):
    folder = tmp_path / WINTER / "seed-0"
    folder.mkdir(parents=True)
    real.to_parquet(folder / "trips.parquet")
    real[real["split"] == "C"].to_parquet(run / "synthetic.parquet")
    real[real["split"] == "A"].to_parquet(run / "calibrated.parquet")
    for month in ("01", "02"):  # read long ago
        (tmp_path / "citibike-jc").mkdir(exist_ok=True)
        (tmp_path / "citibike-jc" / f"JC-2019{month}-trips.csv").touch()
    asked = ["--work", str(tmp_path), "--data", str(tmp_path), "--no-ours", "--run", f"ours={run}"]
    done = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert "not measured: TabularARGN, TVAE, CTGAN" in done.stdout
    figures = json.loads((folder / "figures.json").read_text())
    assert (
        list(figures["rows"])[:3] == ["fresh real trips", "ours, raw", "ours, calibrated"] and len(figures["rows"]) == 7
    )
    assert figures["rows"]["ours, calibrated"]["ims"] == 1 and figures["rows"]["ours, raw"]["ims"] < 0.1
    assert "| ours, calibrated |" in table(figures) and table(figures) in done.stdout


def test_our_row_is_made_by_the_commands_that_the_docs_name():
    named = (Path(__file__).parents[2] / "docs" / "fidelity.md").read_text(encoding="utf-8").splitlines()
    for name, (command, _) in stages_of([Path("DATA")], Path("RUN"), SETS[WINTER].recipe, rows=12490, seed=0).items():
        words = " ".join(command).replace(" --seed 0", "").replace("DATA --run", "--run")
        begin, end = words.split("--run RUN")
        lines = [line for line in named if line.startswith(f"python -m {begin.strip()}")]
        assert any(line.endswith(f"--run RUN{end}") for line in lines), name


def test_stages_that_are_done_are_not_done_again_and_others_are_tried(tmp_path):
    for name, (_, made) in stages_of([], tmp_path, SETS[WINTER].recipe, rows=9, seed=1).items():
        (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / made).touch()
        took_file(tmp_path, name).write_text('{"wall_seconds": 7}')
    spent = make_ours([], tmp_path, SETS[WINTER].recipe, rows=9, seed=1)
    assert spent == dict.fromkeys(["rasterize", "train", "sample", "decode", "judge", "choose"], 7)
    (tmp_path / "chosen.parquet").unlink()
    with pytest.raises(InputError, match="choose.log: .* ended with exit code"):
        make_ours([], tmp_path, SETS[WINTER].recipe, rows=9, seed=1)
    with pytest.raises(InputError, match="made by another recipe"):
        make_ours([], tmp_path, Recipe(measure_tables=()), rows=9, seed=1)
