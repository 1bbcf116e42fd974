"""The fidelity benchmark as one command: rivals and runs in one table."""

import json

from typer.testing import CliRunner

from benchmarks.fidelity.__main__ import app, format_figures, keep_known_ends
from benchmarks.fidelity.sets import WINTER
from benchmarks.fidelity.split import make_trips


def test_trips_at_masked_stations_are_left_out_and_counted(training, capsys):
    train, places = training
    masked = train.assign(start=train["start"].where(train.index != 3, "_RARE_"))
    left = keep_known_ends("ARGN", make_trips(masked, places))
    assert len(left) == len(train) - 1 and left["start_lat"].notna().all()
    assert capsys.readouterr().out.startswith(f"ARGN: 1 of {len(train)} rows are left out, at no station")
    assert len(keep_known_ends("ARGN", make_trips(train, places))) == len(train) and not capsys.readouterr().out


def test_one_command_measures_rivals_and_runs(run, real, tmp_path):
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
    assert "| ours, calibrated |" in format_figures(figures) and format_figures(figures) in done.stdout
