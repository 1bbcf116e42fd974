"""The public API: what it lists, that it is light, typed, and that the six lines of the README do what they say."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import decode
import pgan
import rasterize

ROOT = Path(__file__).parents[1]
CLIENT = '''\
"""A client of the public API, for the type checker."""
import pandas as pd

import decode
import pgan
import rasterize


def synthesise(path: str, run: str) -> pd.DataFrame:
    """Trips in, synthetic trips out."""
    images = rasterize.raster(path, run=run, resolution=16, layout="lattice")
    model = pgan.train(images, preset="tiny", settings={"last_kimg": 1.0})
    fakes = model.sample(80_000, labels={"user_type": "Customer"})
    synthetic = decode.decode(fakes)
    report = decode.compare(images.trips(), synthetic, run=run)
    print(report.figures["n"], report.save("out/"), model.progress.tail(), model.timelapse)
    chosen: pd.DataFrame = decode.select(fakes, rows=100, model=model)
    decode.write_like_source(chosen, "out/chosen.csv", images)
    return chosen
'''


def test_the_public_names_are_these():
    assert rasterize.__all__ == ["ImageSet", "InputError", "open_images", "raster", "read_trips", "simulate_city"]
    assert pgan.__all__ == ["Model", "open_model", "train"]
    assert decode.__all__ == ["Report", "check_codec", "compare", "decode", "select", "write_like_source"]
    for package in (rasterize, pgan, decode):
        assert all(callable(getattr(package, name)) for name in package.__all__)
        assert package.__version__ == rasterize.__version__


def test_importing_the_packages_loads_nothing_heavy():
    script = "import sys, rasterize, pgan, decode; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(done.stdout.split()) & {"torch", "numpy", "pandas", "numba", "typer", "geopandas"}


def test_a_typed_client_is_clean(tmp_path):
    (tmp_path / "client.py").write_text(CLIENT)
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "--follow-imports=silent"]
    environment = {"MYPYPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(
        [*command, "--ignore-missing-imports", str(tmp_path / "client.py")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """The six lines, on a small simulated city, trained far too briefly to be any good."""
    folder = tmp_path_factory.mktemp("api")
    city = rasterize.simulate_city(folder / "city.csv", trips=3000, stations=8)
    images = rasterize.raster(city, run=folder / "run", resolution=16, layout="lattice")
    short = {"first_kimg": 4.0, "fade_kimg": 1.0, "last_kimg": 3.0, "picture_kimg": 2.0}
    model = pgan.train(images, preset="tiny", settings=short, device="cpu")
    fakes = model.sample(1_200, device="cpu")
    synthetic = decode.decode(fakes)
    return images, model, fakes, synthetic, decode.compare(images.trips(), synthetic, run=folder / "run")


def test_each_object_is_a_handle_on_the_run_folder(loop):
    images, model, fakes, synthetic, report = loop
    run = images.folder.parent
    assert model.run == run and fakes.folder == run / "fakes" and model.is_finished
    assert len(fakes) == 1_200 and fakes.shape == images.shape
    real = images.trips()
    assert {"A", "B", "C"} == set(real["split"]) and abs((real["split"] == "A").mean() - 1 / 3) < 0.05
    pd.testing.assert_frame_equal(synthetic, pd.read_parquet(run / "calibrated.parquet"))
    assert images.rejects["kept"] == len(real) == 3000
    assert rasterize.open_images(run).fingerprint == images.fingerprint
    assert len(pgan.open_model(run).progress) == len(model.progress) > 3
    assert model.timelapse.is_file()
    assert report.figures["metrics"]["validity"]["value"] == 1.0


def test_each_object_shows_itself(loop, tmp_path):
    images, model, fakes, _, report = loop
    assert repr(images).startswith("ImageSet(") and f"{len(images):,} images" in repr(images)
    assert repr(model).endswith(", 8.0 kimg)") and "data:image/gif" in model._repr_html_()
    assert "<img" in fakes._repr_html_() and fakes.show(12).size[0] > 0
    assert "od_cpc" in repr(report) and "<table" in report._repr_html_()
    assert list(report.table().columns[:2]) == ["value", "ceiling"]
    page = report.save(tmp_path / "out")
    assert page.is_file() and (tmp_path / "out" / "metrics.json").is_file()


def test_trips_come_back_in_the_look_of_the_input(loop, tmp_path):
    images, _, fakes, synthetic, _ = loop
    path = decode.write_like_source(synthetic, tmp_path / "like.csv", images)
    first = (images.folder.parents[1] / "city.csv").read_text().splitlines()[0]
    assert path.read_text().splitlines()[0] == first
    chosen = decode.select(fakes, rows=50)
    assert len(chosen) == 50


def test_a_table_serves_as_well_as_a_file(tmp_path):
    city = rasterize.simulate_city(tmp_path / "city.csv", trips=600, stations=5)
    of_file = rasterize.raster(city, run=tmp_path / "file", resolution=16)
    of_table = rasterize.raster(pd.read_csv(city, dtype=str), run=tmp_path / "table", resolution=16)
    columns = ["started_at", "start_station_id", "end_station_id", "duration_s", "birth_year"]
    pd.testing.assert_frame_equal(of_file.trips()[columns], of_table.trips()[columns])


def test_times_of_a_zone_are_its_wall_clock(tmp_path):
    city = rasterize.simulate_city(tmp_path / "city.csv", trips=300, stations=5)
    plain = rasterize.read_trips(city)
    zoned = pd.read_csv(city, dtype=str)
    for column in ("starttime", "stoptime"):
        zoned[column] = pd.to_datetime(zoned[column]).dt.tz_localize("America/New_York")
    assert rasterize.read_trips(zoned)["started_at"].tolist() == plain["started_at"].tolist()


def test_trips_carry_the_speed_limit_of_their_run(tmp_path):
    city = rasterize.simulate_city(tmp_path / "city.csv", trips=900, stations=5)
    images = rasterize.raster(city, run=tmp_path / "run", resolution=16, settings={"vehicle": "taxi"})
    real = images.trips()
    fast = real.assign(ended_at=real["started_at"] + (real["ended_at"] - real["started_at"]) / 6)
    fast["duration_s"] = real["duration_s"] / 6
    assert decode.compare(real, fast).figures["speed_limit_kmh"] == 150
    by_bike = decode.compare(real, fast, settings={"vehicle": "bike"}).figures
    assert by_bike["speed_limit_kmh"] == 45
    assert by_bike["metrics"]["validity"]["value"] < decode.compare(real, fast).figures["metrics"]["validity"]["value"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda path: rasterize.raster(path, settings={"colour": 1}), "no setting 'colour'"),
        (lambda path: rasterize.raster(path, resolution="huge"), "--resolution huge"),
        (lambda path: rasterize.raster(path, settings={"resolution": 8}), "resolution are arguments of their own"),
        (lambda path: rasterize.raster(path, settings={"max_speed_kmh": "fast"}), "'fast': expected a number"),
        (lambda path: rasterize.raster(path, settings={"max_speed_kmh": float("inf")}), "expected a finite number"),
        (lambda path: rasterize.raster(path, settings={"stations": "none.json"}), "none.json"),
        (lambda path: decode.compare(pd.DataFrame(), pd.DataFrame(), run=path.parent / "none"), "none: no run folder"),
        (
            lambda path: decode.compare(pd.DataFrame(), pd.DataFrame(), settings={"json": "-"}),
            "json are for the command",
        ),
        (lambda path: rasterize.read_trips([]), "no files of trips are named"),
        (lambda path: pgan.train(path), "expected an ImageSet, not PosixPath"),
        (lambda path: decode.decode(path), "expected an ImageSet, not PosixPath"),
        (lambda path: decode.compare(path, path), "expected a DataFrame, not PosixPath"),
        (lambda path: rasterize.open_images(path.parent), "no finished image set"),
        (lambda path: pgan.open_model(path.parent), "no model in it"),
        (lambda path: decode.check_codec(path, settings={"noise": "loud"}), "--noise loud"),
    ],
)
def test_bad_calls_say_what_to_do(call, words, tmp_path):
    city = rasterize.simulate_city(tmp_path / "city.csv", trips=300, stations=5)
    with pytest.raises(rasterize.InputError, match=words):
        call(city)


def test_real_images_are_not_taken_for_generated_ones(loop):
    with pytest.raises(rasterize.InputError, match="not the generated images of a run"):
        decode.decode(loop[0])
    with pytest.raises(rasterize.InputError, match="generated images hold no clean trips"):
        loop[2].trips()
