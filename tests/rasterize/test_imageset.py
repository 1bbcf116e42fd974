"""Image sets on disk: what is written is read; what is unfinished or foreign is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.errors import InputError
from rasterize.imageset import (
    DRAWN_PIECES,
    ImageSet,
    begin_image_set,
    write_image_set,
    write_images,
    write_labels_and_spec,
    write_strokes,
)
from rasterize.spec import Factor
from rasterize.strokes.channels import LinearChannel
from rasterize.strokes.pen import draw_images
from rasterize.strokes.strokes import Strokes
from tests.spec_examples import make_spec

FACTOR = Factor(name="user_type", values=("a", "b"))
SPEC = make_spec([(3, 3), (9.5, 4), (12, 12)], factors=(FACTOR,))


def generated(folder, count=5):
    """Write an image set as a generator does; return its images and labels."""
    images = np.random.default_rng(0).random((count, *SPEC.shape), np.float32)
    labels = np.arange(count)[:, None] % 2
    write_image_set(folder, SPEC, [images[:2], images[2:]], labels)
    return images, labels


def test_generated_images_come_back_to_half_precision(tmp_path):
    images, labels = generated(tmp_path)
    opened = ImageSet.open(tmp_path)
    assert len(opened) == 5 and opened.shape == SPEC.shape and opened.factors == (FACTOR,)
    assert np.array_equal(opened.labels, labels)
    assert np.allclose(opened.read([4, 1]), images[[4, 1]], atol=2.0**-11)  # half a step below 1


def test_drawn_images_are_drawn_again(tmp_path):
    strokes = Strokes.straight([[0, 1], [1, 2], [2, 2]])
    write_strokes(tmp_path, strokes)
    write_labels_and_spec(tmp_path, SPEC, np.zeros((3, 1), np.int16))
    assert np.array_equal(ImageSet.open(tmp_path).read([2, 0]), draw_images(SPEC, strokes, [2, 0]))


@pytest.mark.parametrize(("trips", "is_read"), [(DRAWN_PIECES, False), (DRAWN_PIECES + 1, True)])
def test_crowded_images_are_read_where_they_are_stored(tmp_path, trips, is_read):
    strokes = Strokes.straight([[0, 1]] * (2 * trips), offsets=[0, trips, 2 * trips])
    write_strokes(tmp_path, strokes)
    write_labels_and_spec(tmp_path, SPEC, np.zeros((2, 1), np.int16))
    drawn = draw_images(SPEC, strokes)
    assert np.array_equal(ImageSet.open(tmp_path).read([1]), drawn[1:])  # nothing is stored
    write_images(tmp_path / "images.npy", [np.full((2, *SPEC.shape), 7.0)], count=2, shape=SPEC.shape)
    assert (ImageSet.open(tmp_path).read([1]) == 7).all() == is_read


@given(st.lists(st.integers(0, 5), max_size=6), st.data())
def test_taken_strokes_are_those_of_their_images(sizes, data):
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    total, rng = int(offsets[-1]), np.random.default_rng(0)
    bends = rng.integers(0, 4, total)
    strokes = Strokes(
        offsets=offsets,
        ends=rng.integers(0, 3, (total, 2)).astype(np.int32),
        values=rng.random((total, 2)).astype(np.float32),
        paths=rng.uniform(1, 15, (int(bends.sum()), 2)).astype(np.float32),
        path_offsets=np.concatenate([[0], np.cumsum(bends)]).astype(np.int64),
    )
    which = np.array(data.draw(st.lists(st.integers(0, len(sizes) - 1), max_size=5)) if sizes else [], np.int64)
    taken, spec = strokes.take(which), replace(SPEC, channels=(LinearChannel(column="duration_s", low=0, high=1),) * 2)
    assert np.array_equal(draw_images(spec, taken), draw_images(spec, strokes, which))


def test_generated_images_replace_drawn_ones(tmp_path):
    write_strokes(tmp_path, Strokes.straight([[0, 1]]))
    images, _ = generated(tmp_path)
    assert np.allclose(ImageSet.open(tmp_path).read([0]), images[:1], atol=2.0**-11)


@pytest.mark.parametrize("number", [-1, 5])
@pytest.mark.parametrize("is_drawn", [False, True])
def test_numbers_that_no_image_has_are_refused(tmp_path, number, is_drawn):
    generated(tmp_path)
    if is_drawn:
        write_strokes(tmp_path, Strokes.straight([[0, 1]] * 5))
        (tmp_path / "images.npy").unlink()
    with pytest.raises(IndexError, match="images 0 … 4"):
        ImageSet.open(tmp_path).read([0, number])


def test_the_fingerprint_tells_sets_apart(tmp_path):
    generated(tmp_path / "a")
    generated(tmp_path / "b")
    generated(tmp_path / "c", count=6)
    prints = [ImageSet.open(tmp_path / name).fingerprint for name in "abc"]
    assert prints[0] == prints[1] != prints[2]


def test_an_unfinished_set_is_not_taken_for_whole(tmp_path):
    generated(tmp_path)
    begin_image_set(tmp_path)
    with pytest.raises(InputError, match="no finished image set"):
        ImageSet.open(tmp_path)


def test_a_failing_generator_leaves_no_finished_set(tmp_path):
    generated(tmp_path)

    def broken():
        yield np.zeros((2, *SPEC.shape))
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        write_image_set(tmp_path, SPEC, broken(), np.zeros((4, 1)))
    assert not (tmp_path / "spec.json").exists()
    assert not list(tmp_path.glob(".*"))


def edit_spec(folder, **changes):
    """Change entries of a written spec.json."""
    path = folder / "spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_images_of_another_shape_are_refused(tmp_path):
    generated(tmp_path)
    edit_spec(tmp_path, frame={**SPEC.frame.to_json(), "height": 32})
    with pytest.raises(InputError, match=r"images have shape \(4, 16, 16\), spec.json says \(4, 32, 16\)"):
        ImageSet.open(tmp_path)


def test_another_version_wrong_labels_and_damage_are_refused(tmp_path):
    generated(tmp_path)
    np.save(tmp_path / "labels.npy", np.zeros((4, 1), np.int16))
    with pytest.raises(InputError, match="labels.npy has shape"):
        ImageSet.open(tmp_path)
    edit_spec(tmp_path, version=99)
    with pytest.raises(InputError, match="spec version 99"):
        ImageSet.open(tmp_path)
    (tmp_path / "spec.json").write_text('{"version": 1, "fra')
    with pytest.raises(InputError, match="damaged image set"):
        ImageSet.open(tmp_path)


@pytest.mark.parametrize("name", ["labels.npy", "images.npy"])
def test_truncated_arrays_are_refused(tmp_path, name):
    generated(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
    with pytest.raises(InputError, match="damaged image set"):
        ImageSet.open(tmp_path)
