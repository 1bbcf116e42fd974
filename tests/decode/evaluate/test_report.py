"""The report: whole, self-contained, open about what is missing, and quiet in a browser (headless Chromium)."""

import json
import re
import tempfile
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from decode.confidence import ConfidenceCurve
from decode.evaluate.measure import UNKNOWN_TRAINING, Measurement, measure_tables
from decode.evaluate.report import format_figure, is_simulated, write_report
from decode.solver.degradation import MEDIUM
from rasterize.errors import InputError
from rasterize.imageset import write_image_set
from tests.browser import Browser, needs_chromium
from tests.spec_examples import make_spec
from tests.trip_tables import city_trips


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    """Measure raw and calibrated trips of the street grid."""
    return measure_tables(
        city_trips(900, seed=1), city_trips(300, seed=2), others={"<calibrated>": city_trips(300, seed=3)}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Make a run folder with everything a report can show."""
    run = tmp_path_factory.mktemp("run")
    spec = make_spec([(3, 3), (12, 9)])
    for name in ("images", "fakes"):
        write_image_set(run / name, spec, [np.ones((5, *spec.shape), np.float32)], np.zeros((5, 0), np.int16))

    # what the generator left: progress pictures and a timelapse
    (run / "model" / "progress").mkdir(parents=True)
    frames = [Image.new("RGB", (40, 30), (k * 20, 0, 0)) for k in range(8)]
    for k, frame in enumerate(frames):
        frame.save(run / "model" / "progress" / f"{k:04d}.png")
    frames[0].save(run / "model" / "timelapse.gif", save_all=True, append_images=frames[1:])

    # what the stages say of themselves
    rejects = {"rows": 1234, "kept": 900, "rejected": {"too long": 300, "same <place>": 34}}
    (run / "rejects.json").write_text(json.dumps(rejects))
    for name in ("raster.json", "model/run.json", "decode.json"):
        (run / name).write_text(json.dumps({"setting of": name}))
    curve = ConfidenceCurve(intercept=1.0, reliability=((0.5, 0.9, 40, 0.8, 0.75), (0.9, 1.0, 160, 0.97, 0.98)))
    reading = {"confident_share": 0.812, "degradation": MEDIUM.to_json(), "calibration": curve.to_json()}
    (run / "decode.json").write_text(json.dumps({"setting of": "decode.json", **reading}))

    # names that the simulated city gives its stations
    stations = pd.DataFrame({"station_id": ["0", "1"], "name": ["A St (simulated)", "B St (simulated)"]})
    stations.to_parquet(run / "stations.parquet")
    return run


@pytest.fixture(scope="module")
def report(measurement, run) -> Path:
    """Write the report of a run that has everything."""
    write_report(run / "report" / "index.html", measurement, run=run)
    return run / "report" / "index.html"


# ---- the file ------------------------------------------------------------------------------------------------------


def test_report_holds_every_part_and_names_every_metric(report, measurement):
    page = report.read_text(encoding="utf-8")
    for name in measurement.figures["metrics"]:
        assert f'<tr id="{name}">' in page
    assert page.count("data:image/png") == 2 + 2 + 6  # images and fakes, two maps, six of eight progress pictures
    assert page.count("data:image/gif") == 1
    # two samples; week, flows, distance, duration; user type, birth year; confidence
    assert page.count("<svg") == 2 + 4 + 2 + 1
    assert "200 trips painted like the generator" in page and "81.2 %" in page and "0.600 px" in page
    assert "1,234" in page and "too long" in page
    for name in ("raster.json", "model/run.json", "decode.json"):
        assert f"&#34;setting of&#34;: &#34;{name}&#34;" in page
    assert "no formal guarantee" in page and "anonym" not in page.lower()
    assert "Simulated City" in page
    assert "raw generator output" in page
    assert page.count('data-label="&lt;calibrated&gt;"') == len(measurement.figures["metrics"])
    assert format_figure(measurement.figures["metrics"]["od_cpc"]["others"]["<calibrated>"]) in page


def read_bars(page: str) -> list[float | None]:
    """Read the attained shares from the table of figures; each is equal to any number that rounds alike."""
    cells = re.findall(r'data-label="attained">(.*?)</td>', page, flags=re.DOTALL)
    shares = [re.search(r"(-?\d+) %", cell) for cell in cells]
    return [share and pytest.approx(int(share[1]) / 100, abs=0.00501) for share in shares]


def test_large_figures_and_bars_are_those_of_the_last_table_beside_the_raw_ones(report, measurement):
    page, flows = report.read_text(encoding="utf-8"), measurement.figures["metrics"]["od_cpc"]
    raw, calibrated = (format_figure(value) for value in (flows["value"], flows["others"]["<calibrated>"]))
    assert raw != calibrated
    assert f'<b>{calibrated}</b>of station-to-station flows in common\n<span class="muted">raw {raw}</span>' in page
    row = page.partition('<tr id="od_cpc">')[2].partition("</tr>")[0]
    assert f">{raw}</td>" in row and f"<b>{calibrated}</b></td>" in row
    assert read_bars(page) == [m["others_attained"]["<calibrated>"] for m in measurement.figures["metrics"].values()]
    assert "charts show &lt;calibrated&gt; trips" in page and "(300 trips)" in page


def test_a_report_on_raw_trips_alone_shows_them(tmp_path):
    alone = measure_tables(city_trips(900, seed=1), city_trips(300, seed=2))
    write_report(tmp_path / "index.html", alone)
    page, flows = (tmp_path / "index.html").read_text(encoding="utf-8"), alone.figures["metrics"]["od_cpc"]
    assert f"<b>{format_figure(flows['value'])}</b>of station" in page and "Large figures" not in page
    assert read_bars(page) == [metric["attained"] for metric in alone.figures["metrics"].values()]


def test_report_escapes_what_comes_from_data(report):
    page = report.read_text(encoding="utf-8")
    assert "Customer <b>" not in page and "same <place>" not in page
    assert "same &lt;place&gt;" in page


def test_report_loads_nothing_and_its_ids_are_unique(report):
    page = report.read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert "<script" not in page and "@import" not in page and not re.findall(r"url\((?!#)", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', page)) <= set(ids)


def test_every_picture_has_words(report):
    page = report.read_text(encoding="utf-8")
    assert len(re.findall(r'<img alt="[^"]{10,}"', page)) == page.count("<img")
    assert len(re.findall(r'<svg role="img" aria-label="[^"]{10,}"', page)) == page.count("<svg")


def test_missing_parts_are_said_to_be_missing(measurement, tmp_path):
    for run in (None, tmp_path / "empty"):
        write_report(tmp_path / "index.html", measurement, run=run)
        page = (tmp_path / "index.html").read_text(encoding="utf-8")
        for missing in (
            "no images/",
            "no fakes/",
            "No progress pictures",
            "No timelapse",
            "No rejects.json",
            "No decode.json",
        ):
            assert missing in page
        assert all(f"no {name} in the run folder" in page for name in ("raster.json", "model/run.json", "decode.json"))
        assert "Simulated City" not in page
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]  # no temporary file left


def test_unknown_training_rows_are_said(report, tmp_path):
    page = unescape(report.read_text(encoding="utf-8"))
    assert f"{UNKNOWN_TRAINING.capitalize()}; copying was not measured." in page
    assert page.count(f"not measured: {UNKNOWN_TRAINING}") == 5  # the metrics of copying

    # where it is known who trained, nothing is said
    known = city_trips(300, seed=1).assign(split=np.array(list("ABC"))[np.arange(300) % 3])
    write_report(tmp_path / "index.html", measure_tables(known, city_trips(100, seed=2)))
    page = unescape((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "copying was not measured" not in page and UNKNOWN_TRAINING not in page


def test_damaged_settings_are_named(measurement, tmp_path):
    (tmp_path / "rejects.json").write_text("{")
    with pytest.raises(InputError, match="rejects.json: damaged"):
        write_report(tmp_path / "report" / "index.html", measurement, run=tmp_path)
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["A St (simulated)", "B St (simulated)"], True),
        (["A St (simulated)", "B St (simulated)", None], True),
        (["A St (simulated)", "Grove St"], False),
        (["Grove St", None], False),
        (["A St simulated"], False),
    ],
)
def test_simulated_is_read_from_station_names(tmp_path, names, expected):
    assert not is_simulated(None) and not is_simulated(tmp_path)
    pd.DataFrame({"name": names}).to_parquet(tmp_path / "stations.parquet")
    assert is_simulated(tmp_path) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0.000"),
        (0.00123, "0.0012"),
        (-0.5, "−0.500"),
        (0.85249, "0.852"),
        (12.34, "12.3"),
        (828.4, "828"),
    ],
)
def test_figures_are_short(value, text):
    assert format_figure(value) == text
    assert format_figure(None) == "–"


# ---- the browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    """Start a browser that all tests of this file share."""
    # chromium may still write to its profile while it ends
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(profile))
        yield browser
        browser.close()


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_browser_opens_the_report_without_errors_or_requests(browser, report, width):
    assert browser.open(report, width=width) == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert browser.evaluate("document.querySelectorAll('table').length") == 4


@needs_chromium
@pytest.mark.parametrize("keeps_policy", [True, False])
@pytest.mark.parametrize(
    "planted",
    [
        '<img src="http://127.0.0.1:9/pixel.png">',
        '<link rel="stylesheet" href="http://127.0.0.1:9/style.css">',
        "<script>fetch('http://127.0.0.1:9/')</script>",
        "<script>nowhere.call()</script>",
        "<script>console.error('oh')</script>",
    ],
)
def test_browser_notices_planted_faults(browser, report, tmp_path, planted, keeps_policy):
    page = report.read_text(encoding="utf-8").replace("</main>", f"{planted}</main>")
    if not keeps_policy:
        page = re.sub(r"<meta http-equiv[^>]*>", "", page)
    (tmp_path / "planted.html").write_text(page, encoding="utf-8")
    assert browser.open(tmp_path / "planted.html")
