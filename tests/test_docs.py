"""The documents: short sentences, no dead path, no command that nobody runs, and a picture that can be made again."""

import ast
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import decode
import pgan
import rasterize
from decode.console import VERBS
from rasterize.imageset import write_image_set

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING, API = ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "api.md"
PACKAGES = {"rasterize": rasterize, "pgan": pgan, "decode": decode}
PAGES = [README, CONTRIBUTING, *sorted((ROOT / "docs").glob("*.md"))]  # those held sentence by sentence
PROSE = [README, *sorted((ROOT / "docs").rglob("*.md"))]  # those held on average
LONGEST, MEAN = 20, 17  # words of a sentence
PARAGRAPH_LINES = 6
CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
PATH_ROOTS = ("rasterize/", "pgan/", "decode/", "benchmarks/", "tests/", "docs/", "notebooks/", ".ci/")
TOP_FILES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "Makefile", "setup.cfg", "constraints.txt")


def read(path):
    """Return the text of a file."""
    return path.read_text(encoding="utf-8")


def paragraphs(text):
    """Prose by block: without code blocks, tables and headings; a list item is a block of its own."""
    blocks, block = [], []
    for line in [*CODE_BLOCK.sub("\n", text).splitlines(), ""]:
        is_prose = bool(line.strip()) and not re.match(r"\s*(#|\||!\[|---)", line)
        if block and (not is_prose or re.match(r"\s*([*-]|\d+\.)\s", line)):
            blocks.append(block)
            block = []
        if is_prose:
            block.append(line)
    return blocks


def sentences(text):
    """Sentences of the prose, each a list of words; a formula or a command in backticks is one word."""
    for block in paragraphs(text):
        prose = " ".join(re.sub(r"^\s*([*-]|\d+\.)\s+", "", line).strip() for line in block)
        prose = re.sub(r"`[^`]+`", "code", prose)
        prose = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", prose)
        for sentence in re.split(r"[.!?:;][)*\"”]*(?=\s|$)", prose):
            words = [word for word in sentence.split() if re.search(r"\w", word)]
            if words:
                yield words


def named_paths(page):
    """Files of the repository that a page names: targets of its links, and paths in backticks."""
    text = CODE_BLOCK.sub("", read(page))
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            yield target, page.parent / target
    for name in re.findall(r"`([^`\s]+)`", text):
        if name.startswith(PATH_ROOTS) or name in TOP_FILES:
            yield name, ROOT / name


def shell_commands(page):
    """The commands of a page's ```sh blocks, a line each; continued lines are joined, comments left out."""
    for block in re.findall(r"^```sh\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if command := re.sub(r"\s+#.*", "", line).strip():
                yield command


def test_the_counter_counts():
    text = "# A heading of words\n\nOne two. Three `four five` [six](seven/eight.md): nine.\n\n| no |\n\n* ten\n"
    assert list(sentences(text)) == [["One", "two"], ["Three", "code", "six"], ["nine"], ["ten"]]
    assert list(sentences("```sh\nnot this either\n```\nv. 1.5 of (x; y)\n")) == [["v"], ["1.5", "of", "(x"], ["y)"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_sentence_is_too_long(page):
    long = [" ".join(words) for words in sentences(read(page)) if len(words) > LONGEST]
    assert not long, "\n".join(long)


def test_sentences_are_short_on_average():
    lengths = [len(words) for page in PROSE for words in sentences(read(page))]
    assert np.mean(lengths) <= MEAN


def test_paragraphs_of_the_readme_are_short():
    long = ["\n".join(block) for block in paragraphs(read(README)) if len(block) > PARAGRAPH_LINES]
    assert not long, "\n\n".join(long)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_named_exists(page):
    absent = [name for name, path in named_paths(page) if not list(path.parent.glob(path.name))]
    assert not absent, absent


def test_every_command_of_the_readme_is_run_by_ci_or_a_test():
    others = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if path != Path(__file__)]
    run = "".join(map(read, [ROOT / ".ci" / "run", *others]))
    for command in shell_commands(README):
        program, *words = command.split()
        assert program == "make", f"{command}: the README shows make targets alone"
        for target in [word for word in words if "=" not in word and not word.startswith("'")]:
            assert re.search(rf'make {target}\b|"{target}"', run), f"{command}: nothing runs `make {target}`"


def python_blocks(page):
    """The ```python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)


def commands_of_make(command, run):
    """The `python -m` commands of a make line, as it would run them from nothing."""
    words = [word for word in shlex.split(command) if not word.startswith(("RUN=", "TRIPS="))]
    ready = run / "ready"  # newer than setup.cfg: the environment is not made again
    ready.touch()
    words += ["--dry-run", f"READY={ready}", "TRIPS=setup.cfg", f"RUN={run}"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
    return [line for line in done.stdout.splitlines() if " -m " in line]


def test_the_readmes_own_file_command_goes_through_all_stages(tmp_path):
    (command,) = [command for command in shell_commands(README) if "TRIPS=" in command]
    stages = [
        re.search(r"-m (rasterize|pgan \w+|decode(?: compare)?)", line)[1]
        for line in commands_of_make(command, tmp_path)
    ]
    assert stages == ["rasterize", "pgan train", "pgan sample", "decode", "decode compare"]


def test_the_commands_of_the_api_page_have_the_flags_they_show(tmp_path):
    commands = []
    for command in shell_commands(API):
        commands += commands_of_make(command, tmp_path) if command.startswith("make") else [command]
    assert len(commands) >= 10
    for command in commands:
        module, *words = shlex.split(command.partition(" -m ")[2])
        verbs = 1 if module == "pgan" or words[0] in ("compare", "roundtrip", "choose") else 0
        # With --help flags are read, and nothing is run.
        asked = [sys.executable, "-m", module, *words[:verbs], "--help", *words[verbs:]]
        done = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_python_of_the_readme_is_six_lines_of_the_public_api():
    (block,) = python_blocks(README)
    assert len(ast.parse(block).body) == 6
    for call in (node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)):
        owner, name = call.func.value.id, call.func.attr
        if owner in PACKAGES:
            assert name in PACKAGES[owner].__all__
            keywords = {keyword.arg: None for keyword in call.keywords}
            inspect.signature(getattr(PACKAGES[owner], name)).bind(*call.args, **keywords)


def test_the_api_page_names_every_public_name_and_verb():
    text = read(API)
    for owner, package in PACKAGES.items():
        for name in package.__all__:
            assert f"`{owner}.{name}" in text or f"`{name}`" in text, f"{owner}.{name}"
    assert [verb for verb in (*VERBS, "demo") if f"`pgan-trips {verb}`" not in text] == []


def test_the_picture_can_be_made_from_a_run(tmp_path):
    run = tmp_path / "run"
    city = rasterize.simulate_city(tmp_path / "city.csv", trips=600, stations=8)
    images = rasterize.raster(city, run=run, resolution=16)
    write_image_set(run / "fakes", images.spec, [images.read(np.arange(len(images)))], images.labels)
    pd.read_parquet(run / "trips.parquet").to_parquet(run / "chosen.parquet")
    script = [sys.executable, "docs/picture.py", str(run), str(tmp_path / "picture.png")]
    subprocess.run(script, cwd=ROOT, check=True)
    picture = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB"))
    assert picture.shape[1] >= 1200 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
