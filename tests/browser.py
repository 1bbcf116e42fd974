"""A headless Chromium for tests of pages, driven through its DevTools socket."""

import json
import shutil
import subprocess
from itertools import count
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest
import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


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
        """Wait until the browser has written the port it listens on."""
        while self._process.poll() is None:
            if path.exists() and (lines := path.read_text().splitlines()):
                return int(lines[0])
        raise RuntimeError(f"{CHROMIUM} ended with code {self._process.returncode} before it listened")

    def _receive(self) -> dict:
        """Read one message; keep it if it is an event."""
        message = json.loads(self._socket.recv())
        if "method" in message:
            self._events.append(message)
        return message

    def call(self, method: str, **parameters) -> dict:
        """Send a DevTools command and wait for its answer; keep the events that come meanwhile."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := self._receive()).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def evaluate(self, expression: str):
        """Return the value of a JavaScript expression in the page, promises awaited."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return result["result"].get("value")

    def open(self, path: Path, *, width: int = 1280) -> list[str]:
        """Load a file; return console errors, exceptions and requests to anywhere but the file itself."""
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
        """Return what an event says is wrong; requests to the page itself are not."""
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
        """End the browser."""
        self._socket.close()
        self._process.terminate()
        self._process.wait()
