"""Train a progressive GAN on an image set: one straight loop, from wherever the run stands to its end."""

import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pgan.config import TrainConfig
from pgan.networks.pyramid import standardise
from pgan.run.checkpoint import load_checkpoint, load_newest, remove_leftovers, save_checkpoint
from pgan.run.memory_check import check_memory
from pgan.run.pictures import draw_grid, make_caption, save_picture, save_timelapse
from pgan.run.progress import Reporter
from pgan.run.run_record import make_run_record, refuse_other_run
from pgan.run.setup import GRID_CELLS, Run, load_batch, make_network_shape, make_run, read_range_sample
from pgan.run.stopping import StopRequest, stop_on_signals
from pgan.snapshot import Snapshot, count_labels, load_snapshot, save_snapshot
from pgan.steps.compiled_passes import PassesByPhase
from pgan.steps.distributed import join_workers
from pgan.steps.state import TrainState
from pgan.steps.step import train_step
from pgan.tensor_files import explain_write_errors
from rasterize.errors import InputError
from rasterize.files import write_json
from rasterize.imageset import ImageSet

REPORT_IMAGES = 1000  # between two reports; set by hand, not swept
# Non-finite steps in a row before rolling back, rollbacks before giving up, and what each leaves of the learning rate.
# Set by hand, not swept.
MOST_SKIPPED = 50
MOST_ROLLBACKS = 3
RATE_CUT = 0.5


def train(run_folder: Path, config: TrainConfig, *, device: torch.device) -> bool:
    """Train on RUN/images into RUN/model, going on from the newest checkpoint of use.

    Writes run.json, reals.png, checkpoints/, progress/NIMG.png, stats.jsonl, tensorboard/, timelapse.gif and, last of
    all, snapshot.pt. Under torchrun all workers train one run, and worker 0 writes.

    Parameters
    ----------
    run_folder : Path
        Holds images/, and model/ as soon as there is one.
    config : TrainConfig
        All settings of the run; they must be those it was begun with.
    device : torch.device
        Where to train; see `choose_device`.

    Returns
    -------
    bool
        Whether the run got to its end. False: it was asked to stop, and the same call goes on from there.

    Raises
    ------
    InputError
        The images cannot be trained on; the folder holds another run or cannot be written; the run is beyond help.
    """
    # What the run is.
    images = ImageSet.open(run_folder / "images")
    shape, model = make_network_shape(config, images), run_folder / "model"
    with join_workers(device) as workers, explain_write_errors(model):
        state = TrainState(config, shape, device=device, workers=workers)
        run = make_run(model, config, images=images, state=state)

        # Where it stands: finished, under way, or not begun.
        known = refuse_other_run(model, run.identity)
        if _is_finished(run):
            return True
        _begin_or_go_on(run, state, known=known)

        # Find out now whether every phase ahead fits into memory.
        peaks = check_memory(state, run.schedule, partial(load_batch, run))
        if peaks:
            gibs = ", ".join(f"{phase} {peak / 2**30:.2f}" for phase, peak in peaks.items())
            _say(run, f"most memory of a step not compiled, in GiB: {gibs}")

        # Train. After too many non-finite steps in a row go back to the last checkpoint, with a lower learning rate.
        with stop_on_signals() as stop:
            while not _train_until_stopped(run, state, stop):
                _roll_back(run, state)
        if state.nimg < run.schedule.total:
            _say(run, f"stopped at {state.nimg / 1000:.1f} kimg and saved; the same command goes on from there")
            return False

        # Write the result.
        if workers.first:
            _finish(run, state)
    return True


def _train_until_stopped(run: Run, state: TrainState, stop: StopRequest) -> bool:
    """Train to the end, or until asked to stop, and save; False as soon as too many steps in a row were not finite."""
    config, schedule, first = run.config, run.schedule, run.workers.first
    saved = state.nimg
    passes_by_phase = PassesByPhase(
        state.generator,
        state.discriminator,
        config=config,
        schedule=schedule,
        device=state.device,
        say=partial(_say, run),
    )
    with Reporter(run.model, schedule, nimg=state.nimg) if first else nullcontext() as reporter:
        while state.nimg < schedule.total and not _asked_to_stop(run, state, stop):
            # One step of D and G, at this moment of growth.
            growth = schedule.growth_at(state.nimg)
            reals, labels = load_batch(run, state, growth)
            passes = passes_by_phase.at(growth, batch=len(reals))
            result = train_step(state, growth, reals=reals, labels=labels, passes=passes)

            # Report. A look at the numbers waits for the device, so it is rare.
            ended = state.nimg >= schedule.total
            look = ended or _crossed(state.nimg, config.batch, REPORT_IMAGES)
            if reporter:
                reporter.add(result)
                if look:
                    reporter.report(growth, state)
            if look and state.skipped_in_a_row >= MOST_SKIPPED:
                return False

            # Progress picture: the same latents every time.
            if first and (ended or _crossed(state.nimg, config.batch, config.picture_kimg * 1000)):
                _save_progress_picture(run, state)

            # Checkpoint, unless the run is in trouble: a rollback must lead to before it.
            if _crossed(state.nimg, config.batch, config.checkpoint_kimg * 1000) and not state.skipped_in_a_row:
                saved = _save(run, state)
    if saved != state.nimg:
        _save(run, state)
    return True


def _is_finished(run: Run) -> bool:
    """Say whether there is a snapshot of use, and print it."""
    if not (run.model / "snapshot.pt").exists():
        return False
    try:
        load_snapshot(run.model)
    except InputError as refusal:
        _say(run, f"refused: {refusal}")
        return False
    again = f"`python -m pgan sample --run {run.model.parent}` makes images, remove it to train afresh"
    _say(run, f"{run.model}: finished; {again}")
    return True


def _begin_or_go_on(run: Run, state: TrainState, *, known: bool) -> None:
    """Bring `state` to where the run stands; a run that begins gets its range, run.json and first checkpoint."""
    if run.workers.first:
        remove_leftovers(run.model)
    begins = not _load_newest(run, state)
    # All workers estimate the same range from the same sample.
    if begins:
        state.fit_range(read_range_sample(run.images, run.config.seed))
    # Worker 0 writes down what the run is, and what it starts from.
    if run.workers.first and (begins or not known):
        write_json(run.model / "run.json", make_run_record(run.identity, state=state))
    if begins and run.workers.first:
        _save_reals(run, state)
        _save_progress_picture(run, state)
        save_checkpoint(run.model, state, identity=run.identity)


def _load_newest(run: Run, state: TrainState) -> bool:
    """Load the newest checkpoint of use, the one that worker 0 chose; False if there are none."""
    path = load_newest(run.model, state, identity=run.identity) if run.workers.first else None
    name = run.workers.broadcast(path.name if path else "", device=state.device)
    if name and not run.workers.first:
        load_checkpoint(run.model / "checkpoints" / name, state, identity=run.identity)
    return bool(name)


def _asked_to_stop(run: Run, state: TrainState, stop: StopRequest) -> bool:
    """Say whether to stop now; several workers agree on it, at each report."""
    if run.workers.count > 1 and not _crossed(state.nimg, run.config.batch, REPORT_IMAGES):
        return False
    return run.workers.any(stop.asked, device=state.device)


def _save(run: Run, state: TrainState) -> int:
    """Save a checkpoint, where all workers have the same weights; returns its nimg."""
    # Sums of all weights stand for the weights: workers that compute alike have the same to a bit.
    networks = (state.generator, state.discriminator, state.ema)
    sums = [sum(weight.detach().double().sum() for weight in network.parameters()) for network in networks]
    if not run.workers.agree(torch.stack(sums)):
        raise InputError(
            f"{run.model}: workers have drifted apart at {state.nimg / 1000:.1f} kimg: they do not compute alike; use "
            "the same devices and versions for all; the same command goes on from the last checkpoint"
        )
    if run.workers.first:
        save_checkpoint(run.model, state, identity=run.identity)
    return state.nimg


def _roll_back(run: Run, state: TrainState) -> None:
    """Go back to the last checkpoint, with a lower learning rate from now on.

    A run that is killed before its next checkpoint repeats this when it goes on: nothing but the state decides on it.
    """
    # Remember what the checkpoint does not know.
    lost, rollbacks, skipped, factor = state.nimg, state.rollbacks + 1, state.skipped, state.rate_factor * RATE_CUT
    rate, gamma = run.config.learning_rate, run.config.gamma_scale
    if rollbacks > MOST_ROLLBACKS:
        raise InputError(
            f"{run.model}: {MOST_SKIPPED} steps in a row were not finite, at {lost / 1000:.1f} kimg, and "
            f"{MOST_ROLLBACKS} rollbacks to a learning rate of {rate * state.rate_factor:g} did not help; look at the "
            f"images ({run.model}/reals.png), or train into another run folder with a lower --learning-rate (now "
            f"{rate:g}) or a higher --gamma-scale (now {gamma:g})"
        )
    # Bring back all the rest.
    assert _load_newest(run, state), "a run has a checkpoint from its first step on"
    state.rollbacks, state.skipped, state.rate_factor = rollbacks, skipped, factor
    _say(
        run,
        f"warning: {MOST_SKIPPED} steps in a row were not finite, at {lost / 1000:.1f} kimg; back to "
        f"{state.nimg / 1000:.1f} kimg, learning rate {rate * factor:g} (rollback {rollbacks} of {MOST_ROLLBACKS})",
    )


def _say(run: Run, line: str) -> None:
    """Print a line, once for all workers."""
    if run.workers.first:
        print(line, flush=True)


def _crossed(nimg: int, batch: int, every: float) -> bool:
    """Say whether the last batch passed a multiple of `every` images."""
    return nimg // every > (nimg - batch) // every


def _save_reals(run: Run, state: TrainState) -> None:
    """Write a grid of reals, to look at beside the progress pictures."""
    indices = np.random.default_rng(run.config.seed).integers(0, len(run.images), GRID_CELLS)
    _, height, width = run.images.shape
    reals = standardise(torch.from_numpy(run.images.read(indices)), state.scales[-1].cpu())
    picture = draw_grid(reals, height=height, width=width, caption=f"real   {height}x{width} px")
    save_picture(picture, run.model / "reals.png")


@torch.no_grad()
def _save_progress_picture(run: Run, state: TrainState) -> None:
    """Write a grid of what G_ema makes of the run's fixed latents now."""
    growth = run.schedule.growth_at(state.nimg)
    alpha = growth.alpha if growth.fading else None
    fakes = state.ema(run.grid_latents, run.grid_labels, growth.level, alpha).cpu()
    _, height, width = run.images.shape
    picture = draw_grid(fakes, height=height, width=width, caption=make_caption(growth, state.nimg))
    save_picture(picture, run.model / "progress" / f"{state.nimg:09d}.png")


def _finish(run: Run, state: TrainState) -> None:
    """Write the timelapse and, last of all, the snapshot."""
    save_timelapse(run.model / "progress", run.model / "timelapse.gif")
    rows, counts = count_labels(run.images.labels)
    snapshot = Snapshot(
        generator=state.ema.cpu(),
        scales=state.scales.cpu(),
        spec=json.dumps(run.images.spec.to_json()),
        label_rows=rows,
        label_counts=counts,
    )
    save_snapshot(run.model, snapshot)
    print(f"{run.model}: trained on {state.nimg / 1000:.1f} kimg, {state.skipped} steps skipped", flush=True)
