"""The documents: short sentences, no dead path, no command that nobody runs, and a picture that can be made again."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rasterize.imageset import ImageSet, write_image_set
from rasterize.ingest.options import IngestOptions, StopOptions
from rasterize.run import raster
from rasterize.simulated_city import write_city
from rasterize.strokes.options import RasterOptions

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
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
    run = read(ROOT / ".ci" / "run") + "".join(read(path) for path in sorted((ROOT / "tests").rglob("test_*.py")))
    for command in shell_commands(README):
        program, *words = command.split()
        assert program == "make", f"{command}: the README shows make targets alone"
        for target in [word for word in words if "=" not in word and not word.startswith("'")]:
            assert re.search(rf'make {target}\b|"{target}"', run), f"{command}: nothing runs `make {target}`"


def test_the_readmes_own_file_command_goes_through_all_stages(tmp_path):
    (command,) = [command for command in shell_commands(README) if "TRIPS=" in command]
    words = re.sub(r"RUN=\S+", f"RUN={tmp_path}", re.sub(r"TRIPS=\S+", "TRIPS=setup.cfg", command)).split()
    done = subprocess.run(
        [*words, "--dry-run", "READY=setup.cfg"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    commands = re.findall(r"-m ((?:rasterize|pgan|decode).*)", done.stdout)
    stages = [re.match(r"(rasterize|pgan \w+|decode(?: compare)?)", command).group() for command in commands]
    assert stages == ["rasterize", "pgan train", "pgan sample", "decode", "decode compare"]


def test_the_python_of_the_readme_is_six_lines():
    (block,) = re.findall(r"^```python\n(.*?)^```$", read(README), re.MULTILINE | re.DOTALL)
    assert len(ast.parse(block).body) == 6


def test_the_picture_can_be_made_from_a_run(tmp_path):
    run = tmp_path / "run"
    write_city(tmp_path / "city.csv", trips=600, stations=8)
    options = IngestOptions(stops=StopOptions(height=16, width=16))
    raster([str(tmp_path / "city.csv")], run, ingest_options=options, options=RasterOptions())
    images = ImageSet.open(run / "images")
    write_image_set(run / "fakes", images.spec, [images.read(np.arange(len(images)))], images.labels)
    pd.read_parquet(run / "trips.parquet").to_parquet(run / "chosen.parquet")
    script = [sys.executable, "docs/picture.py", str(run), str(tmp_path / "picture.png")]
    subprocess.run(script, cwd=ROOT, check=True)
    picture = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB"))
    assert picture.shape[1] >= 1200 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
