"""The report: whole, self-contained, open about what is missing, and quiet in a browser (headless Chromium)."""

import json
import re
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import numpy as np
import pandas as pd
import pytest
import websocket
from PIL import Image

from decode.confidence import ConfidenceCurve
from decode.evaluate.charts import density, hour_of_week, map_frame
from decode.evaluate.measure import Measurement, measure_tables
from decode.evaluate.report import format_figure, is_simulated, write_report
from decode.evaluate.run import compare
from decode.solver.degradation import MEDIUM
from rasterize.errors import InputError
from rasterize.imageset import write_image_set
from rasterize.strokes.frame import Frame
from tests.spec_examples import make_spec

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def city_trips(rows: int, *, seed: int) -> pd.DataFrame:
    """Trips between nine stations of a street grid, some of them round trips."""
    rng = np.random.default_rng(seed)
    start, end = (rng.choice(9, rows, p=np.arange(1, 10) / 45) for _ in range(2))
    started = pd.Timestamp("2019-01-07") + pd.to_timedelta(rng.integers(0, 14 * 1440, rows), unit="min")
    seconds = rng.integers(300, 1800, rows).astype(float)
    table = {"started_at": started, "ended_at": started + pd.to_timedelta(seconds, unit="s"), "duration_s": seconds}
    for name, at in (("start", start), ("end", end)):
        table |= {f"{name}_station_id": at.astype(str), f"{name}_lat": 40 + at // 3 / 100, f"{name}_lng": at % 3 / 100}
    table["user_type"] = rng.choice(["Subscriber", "Customer <b>"], rows, p=[0.8, 0.2])
    table["birth_year"] = pd.array(rng.integers(1950, 2002, rows), dtype="Int16")
    return pd.DataFrame(table)


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    return measure_tables(
        city_trips(900, seed=1), city_trips(300, seed=2), others={"<calibrated>": city_trips(300, seed=3)}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run folder with everything a report can show."""
    run = tmp_path_factory.mktemp("run")
    spec = make_spec([(3, 3), (12, 9)])
    for name in ("images", "fakes"):
        write_image_set(run / name, spec, [np.ones((5, *spec.shape), np.float32)], np.zeros((5, 0), np.int16))
    (run / "model" / "progress").mkdir(parents=True)
    frames = [Image.new("RGB", (40, 30), (k * 20, 0, 0)) for k in range(8)]
    for k, frame in enumerate(frames):
        frame.save(run / "model" / "progress" / f"{k:04d}.png")
    frames[0].save(run / "model" / "timelapse.gif", save_all=True, append_images=frames[1:])
    rejects = {"rows": 1234, "kept": 900, "rejected": {"too long": 300, "same <place>": 34}}
    (run / "rejects.json").write_text(json.dumps(rejects))
    for name in ("raster.json", "model/run.json", "decode.json"):
        (run / name).write_text(json.dumps({"setting of": name}))
    curve = ConfidenceCurve(intercept=1.0, reliability=((0.5, 0.9, 40, 0.8, 0.75), (0.9, 1.0, 160, 0.97, 0.98)))
    reading = {"confident_share": 0.812, "degradation": MEDIUM.to_json(), "calibration": curve.to_json()}
    (run / "decode.json").write_text(json.dumps({"setting of": "decode.json", **reading}))
    stations = pd.DataFrame({"station_id": ["0", "1"], "name": ["A St (simulated)", "B St (simulated)"]})
    stations.to_parquet(run / "stations.parquet")
    return run


@pytest.fixture(scope="module")
def report(measurement, run) -> Path:
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


def bars(page: str) -> list[float | None]:
    """What the figures' table says was attained, as rounded there; equal to any number that rounds alike."""
    cells = re.findall(r'data-label="attained">(.*?)</td>', page, flags=re.DOTALL)
    found = [re.search(r"(-?\d+) %", cell) for cell in cells]
    return [share and pytest.approx(int(share[1]) / 100, abs=0.00501) for share in found]


def test_large_figures_and_bars_are_those_of_the_last_table_beside_the_raw_ones(report, measurement):
    page, flows = report.read_text(encoding="utf-8"), measurement.figures["metrics"]["od_cpc"]
    raw, calibrated = (format_figure(value) for value in (flows["value"], flows["others"]["<calibrated>"]))
    assert raw != calibrated
    assert f'<b>{calibrated}</b>of station-to-station flows in common\n<span class="muted">raw {raw}</span>' in page
    row = page.partition('<tr id="od_cpc">')[2].partition("</tr>")[0]
    assert f">{raw}</td>" in row and f"<b>{calibrated}</b></td>" in row
    assert bars(page) == [m["others_attained"]["<calibrated>"] for m in measurement.figures["metrics"].values()]
    assert "charts show &lt;calibrated&gt; trips" in page and "(300 trips)" in page


def test_a_report_on_raw_trips_alone_shows_them(tmp_path):
    alone = measure_tables(city_trips(900, seed=1), city_trips(300, seed=2))
    write_report(tmp_path / "index.html", alone)
    page, flows = (tmp_path / "index.html").read_text(encoding="utf-8"), alone.figures["metrics"]["od_cpc"]
    assert f"<b>{format_figure(flows['value'])}</b>of station" in page and "Large figures" not in page
    assert bars(page) == [metric["attained"] for metric in alone.figures["metrics"].values()]


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


def test_unknown_training_rows_are_said(measurement):
    assert measurement.figures["metrics"]["dcr_share"]["value"] is None


def test_damaged_settings_are_named(measurement, tmp_path):
    (tmp_path / "rejects.json").write_text("{")
    with pytest.raises(InputError, match="rejects.json: damaged"):
        write_report(tmp_path / "report" / "index.html", measurement, run=tmp_path)
    assert not (tmp_path / "report").exists()


def test_compare_writes_figures_last_and_uses_the_stations_of_the_run(run, tmp_path):
    figures = compare(city_trips(300, seed=3), city_trips(100, seed=4), tmp_path / "new", run=run)
    written = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert written == json.loads(json.dumps(figures))
    index, numbers = (tmp_path / "new" / name for name in ("index.html", "metrics.json"))
    assert index.stat().st_mtime_ns <= numbers.stat().st_mtime_ns


def test_simulated_is_read_from_station_names(tmp_path):
    assert not is_simulated(None)
    pd.DataFrame({"name": ["Grove St", None]}).to_parquet(tmp_path / "stations.parquet")
    assert not is_simulated(tmp_path)


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


# ---- the charts ----------------------------------------------------------------------------------------------------


def test_density_is_the_length_of_all_trips():
    frame = Frame(west=0.0, south=0.0, east=8.0, north=8.0, height=8, width=8)
    ends = pd.DataFrame(
        {
            "start_lat": [7.5, 7.5, 2.5],
            "start_lng": [0.5, 0.5, 6.5],
            "end_lat": [7.5, 7.5, 2.5],
            "end_lng": [3.5, 3.5, 6.5],
        }
    )
    expected = np.zeros((8, 8))
    expected[0, :4] = [1.0, 2.0, 2.0, 1.0]  # two trips of three pixels each, from and to pixel centres
    expected[5, 6] = 1.0  # a round trip
    np.testing.assert_allclose(density(ends, frame), expected, atol=1e-12)


def test_map_frame_is_no_taller_than_needed_and_holds_all():
    places = pd.DataFrame({"lat": [40.0, 40.001, 40.002], "lng": [0.0, 0.05, 0.1]})
    frame = map_frame(places)
    assert frame.width > 2.5 * frame.height
    assert frame.contains(places["lat"], places["lng"]).all()


def test_svg_takes_its_colours_from_the_page():
    table = pd.DataFrame({"day_of_week": [0, 6], "hour": [0, 23]})
    svg = str(hour_of_week(table, table).html)
    assert "var(--real)" in svg and "var(--synthetic)" in svg and "var(--ink)" in svg
    assert "<text" in svg and "<metadata" not in svg
    assert str(hour_of_week(table, table).html) == svg  # the same data, the same file


# ---- the browser ---------------------------------------------------------------------------------------------------


class Browser:
    """A headless Chromium, driven through one page's DevTools socket."""

    def __init__(self, profile: Path) -> None:
        flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        flags += " --disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-port=0"
        command = [CHROMIUM, *flags.split(), "--remote-allow-origins=*", f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._numbers = count(1)
        self._events: list[dict] = []
        port = self._port(profile / "DevToolsActivePort")
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/json/list") as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self._socket = websocket.create_connection(page["webSocketDebuggerUrl"], http_no_proxy=["127.0.0.1"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _port(self, path: Path) -> int:
        while self._process.poll() is None:
            if path.exists() and (lines := path.read_text().splitlines()):
                return int(lines[0])
        raise RuntimeError(f"{CHROMIUM} ended with code {self._process.returncode} before it listened")

    def _receive(self) -> dict:
        message = json.loads(self._socket.recv())
        if "method" in message:
            self._events.append(message)
        return message

    def call(self, method: str, **parameters) -> dict:
        """Send a command and wait for its answer; events that come meanwhile are kept."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := self._receive()).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def evaluate(self, expression: str):
        """The value of a JavaScript expression in the page, promises awaited."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return result["result"].get("value")

    def open(self, path: Path, *, width: int = 1280) -> list[str]:
        """Load a file; returns console errors, exceptions and requests to anywhere but the file itself."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self._events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive()
        self.evaluate("new Promise(done => setTimeout(done, 200))")  # what a page starts when it is loaded
        return [fault for event in self._events for fault in self._faults(event, path.as_uri())]

    @staticmethod
    def _faults(event: dict, own: str) -> list[str]:
        method, details = event["method"], event["params"]
        if method == "Runtime.exceptionThrown":
            return [f"exception: {details['exceptionDetails']['text']}"]
        if method == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning", "assert"):
            return [f"console: {details['args']}"]
        if method == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"):
            return [f"log: {details['entry']['text']}"]
        if method == "Network.requestWillBeSent":
            url = details["request"]["url"]
            return [] if url == own or url.startswith("data:") else [f"request: {url}"]
        return []

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait()


@pytest.fixture(scope="module")
def browser():
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
