"""`pgan-trips`: every command of the three packages under one name, and the demo."""

import runpy
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

# The verb, the package whose `python -m` command it is, and that command's own first words.
VERBS = {
    "raster": ("rasterize", ()),
    "train": ("pgan", ("train",)),
    "sample": ("pgan", ("sample",)),
    "decode": ("decode", ()),
    "judge": ("pgan", ("judge",)),
    "choose": ("decode", ("choose",)),
    "compare": ("decode", ("compare",)),
    "roundtrip": ("decode", ("roundtrip",)),
}
USAGE = """\
Usage: pgan-trips VERB [OPTIONS]      (pgan-trips VERB --help says more)

  raster      trip files -> clean trips, stations, images
  train       images -> a progressive-growing GAN
  sample      the GAN -> generated images
  decode      generated images -> synthetic trips
  judge       a jury of discriminators judges the synthetic trips
  choose      the best of many synthetic trips
  compare     synthetic trips beside real ones -> figures and a report
  roundtrip   the codec alone, without a GAN
  demo        everything on a simulated city: pgan-trips demo [RUN]

  --version   print the version and stop"""
DEMO_RUN = "runs/demo"
DEMO_USAGE = (
    f"Usage: pgan-trips demo [RUN]\n\n  Every stage on a simulated city, into the run folder RUN (default: {DEMO_RUN})."
)


def main(words: Sequence[str] | None = None) -> None:
    """Run one verb with the words behind it."""
    verb, *rest = (sys.argv[1:] if words is None else list(words)) or ["--help"]
    if rest == ["--version"]:
        verb = "--version"
    if verb in ("--help", "-h"):
        print(USAGE)
    elif verb == "--version":
        print(f"pgan-trips {version('pgan-trips')}")
    elif verb == "demo":
        if len(rest) > 1 or any(word.startswith("-") for word in rest):
            print(DEMO_USAGE)
            sys.exit(0 if rest in (["--help"], ["-h"]) else 2)
        run_demo(*rest)
    elif verb in VERBS:
        package, first = VERBS[verb]
        # the program's name in the help; typer puts a command's own first words behind it
        sys.argv = ["pgan-trips" if first else f"pgan-trips {verb}", *first, *rest]
        runpy.run_module(package, run_name="__main__")
    else:
        print(f"error: pgan-trips {verb}: no such verb; there are {', '.join(VERBS)}, demo", file=sys.stderr)
        sys.exit(2)


def demo_steps(run: str = DEMO_RUN) -> list[tuple[str, ...]]:
    """Return the commands of the demo, each as the words behind `python -m`."""
    city, here = f"{run}/simulated-city.csv", ("--run", run)
    return [
        ("rasterize", "--simulate", city),
        ("rasterize", city, *here, "--resolution", "16"),
        ("pgan", "train", *here, "--last-kimg", "16"),
        ("pgan", "sample", *here, "--images", "8000"),
        ("decode", *here),
        ("pgan", "judge", *here, "--jury", "1", "--kimg", "40"),
        ("decode", "choose", *here, "--rows", "10000"),
        ("decode", "compare", f"{run}/trips.parquet", f"{run}/synthetic.parquet", *here),
    ]


def run_demo(run: str = DEMO_RUN) -> None:
    """Run every stage on a simulated city; the first that fails ends it."""
    for words in demo_steps(run):
        print(f"$ python -m {' '.join(words)}", flush=True)
        done = subprocess.run([sys.executable, "-m", *words], check=False)
        if done.returncode:
            sys.exit(done.returncode)
    print(f"the demo is done: {Path(run, 'chosen.csv')} and {Path(run, 'report', 'index.html')}")


if __name__ == "__main__":
    main()
