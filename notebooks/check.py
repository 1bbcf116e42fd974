"""Run the notebooks afresh and compare with the outputs they are committed with: `python notebooks/check.py [--write]`.

Texts, tables and pictures must be the same, timings apart. Cells tagged `varies` show what training made of them. Sums
in another order grow there, so of these only the kind, the columns and the size of each output are compared.
"""

import base64
import io
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs"
PROGRESS = r"(?m)^[█░]+ .*\n?"  # bars of progress, with their timings and warnings
PICTURES_APART = 0.005  # mean difference of two pictures, as a share of full brightness: fonts and blending may differ


def main() -> None:
    """Run all notebooks; with --write keep the new outputs, else fail where they differ from the committed ones."""
    faults = []
    for run in RUNS.glob("notebook-*"):
        shutil.rmtree(run)  # what an earlier execution left would be gone on with
    for path in sorted(HERE.glob("*.ipynb")):
        committed = nbformat.read(path, as_version=4)
        fresh = nbformat.read(path, as_version=4)
        NotebookClient(fresh, timeout=900, resources={"metadata": {"path": str(HERE)}}).execute()
        if "--write" in sys.argv:
            nbformat.write(tidied(fresh), path)
            continue
        faults += [f"{path.name}: {fault}" for fault in differences(committed, fresh)]
    agreed = "wrote the notebooks" if "--write" in sys.argv else "the notebooks give what they are committed with"
    print("\n".join(faults) or agreed)
    sys.exit(bool(faults))


def tidied(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook without times of execution, lines written over, and second copies of pictures."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
            for output in cell.outputs:
                output.get("data", {}).pop("image/jpeg", None)
    return notebook


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join what a cell printed in pieces, each line as it stood in the end; pieces follow each other by chance."""
    printed = [output for output in outputs if output.output_type == "stream" and output.name == "stdout"]
    shown = [output for output in outputs if output.output_type != "stream"]
    if not printed:
        return shown
    lines = "".join(output.text for output in printed).split("\n")
    printed[0].text = "\n".join(line.rsplit("\r", 1)[-1].rstrip() for line in lines)
    return [printed[0], *shown]


def differences(committed: NotebookNode, fresh: NotebookNode) -> Iterator[str]:
    """Yield in words where the outputs of two runs differ."""
    for number, (old, new) in enumerate(zip(committed.cells, fresh.cells, strict=True)):
        if old.cell_type != "code":
            continue
        varies = "varies" in old.metadata.get("tags", [])
        before, after = ([described(output, varies) for output in joined(cell.outputs)] for cell in (old, new))
        if len(before) != len(after):
            yield f"cell {number} gives {len(after)} outputs, committed are {len(before)}"
        for one, other in zip(before, after, strict=False):
            if not is_alike(one, other):
                yield f"cell {number} gives {str(other)[:300]!r}, committed is {str(one)[:300]!r}"


def described(output: NotebookNode, varies: bool) -> tuple[str, object]:
    """Return the kind of an output, and what of it must come again."""
    if output.output_type == "stream":
        return "stream", re.sub(PROGRESS, "", output.text)
    data = output.get("data", {})
    if "image/png" in data:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB"), float) / 255
        return "picture", picture.shape if varies else picture
    text = data.get("text/html") or data.get("text/plain", "")
    text = re.sub(r"0x[0-9a-f]+|data:image/[a-z]+;base64,[^\"]*", "", text)
    return "text", re.sub(r"<td>.*?</td>|\d[\d.,]*|\s+", "", text) if varies else text


def is_alike(one: tuple[str, object], other: tuple[str, object]) -> bool:
    """Return whether two described outputs agree; pictures may differ a little."""
    if one[0] != other[0]:
        return False
    if isinstance(one[1], np.ndarray):
        return one[1].shape == other[1].shape and float(np.abs(one[1] - other[1]).mean()) < PICTURES_APART
    return one[1] == other[1]


if __name__ == "__main__":
    main()
