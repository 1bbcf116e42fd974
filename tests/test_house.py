"""Rules of the house: who may import whom, what a command may load before it answers --help, how it fails."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("rasterize", "pgan", "decode")
ALLOWED = {"rasterize": {"rasterize"}, "pgan": {"pgan", "rasterize"}, "decode": {"decode", "rasterize"}}
PGAN_MAY_USE = {"rasterize.imageset", "rasterize.spec", "rasterize.errors", "rasterize.files", "rasterize.workers"}
HEAVY = {"torch", "numba", "matplotlib", "duckdb", "pandas", "geopandas", "sklearn", "cv2", "scipy", "numpy"}
COMMANDS = [
    ["rasterize"],
    ["pgan"],
    ["pgan", "train"],
    ["pgan", "sample"],
    ["decode"],
    ["decode", "compare"],
    ["decode", "roundtrip"],
]


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            yield node.module


@pytest.mark.parametrize("package", PACKAGES)
def test_import_directions(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        for module in imported_modules(path):
            top = module.split(".")[0]
            assert top not in PACKAGES or top in ALLOWED[package], f"{path.name} imports {module}"
            assert top != "torch" or package == "pgan", f"{path.name} imports torch"
            if package == "pgan" and top == "rasterize":
                assert module in PGAN_MAY_USE, f"{path.name} imports {module}"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_answers_without_loading_anything_heavy(command):
    script = (
        "import runpy, sys\n"
        f"sys.argv = {[*command, '--help']!r}\n"
        "try:\n"
        f"    runpy.run_module({command[0]!r}, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    print('LOADED', *{name.split('.')[0] for name in sys.modules})\n"
        "    sys.exit(end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert not loaded & HEAVY


def test_every_file_says_its_purpose_in_its_first_line():
    for package in (*PACKAGES, "tests", "benchmarks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            assert re.match(r'""".+', text), f"{path.relative_to(ROOT)} has no docstring in its first line"


def test_packages_are_listed_explicitly():
    listed = re.search(r"packages =\n((?:    \w[\w.]*\n)+)", (ROOT / "setup.cfg").read_text()).group(1).split()
    found = sorted(
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    )
    assert sorted(listed) == found


def test_constraints_hold_names_and_versions_only():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[\w.-]+==[\w.!+-]+", line) for line in lines)
