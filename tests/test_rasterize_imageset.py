"""Image sets on disk: what is written is read; what is unfinished or foreign is refused."""

import json

import numpy as np
import pytest
from spec_examples import make_spec

from rasterize.attributes import Factor
from rasterize.errors import InputError
from rasterize.imageset import (
    ImageSet,
    Strokes,
    begin_image_set,
    draw_images,
    write_image_set,
    write_labels_and_spec,
    write_strokes,
)

FACTOR = Factor(name="user_type", values=("a", "b"))
SPEC = make_spec([(3, 3), (9.5, 4), (12, 12)], factors=(FACTOR,))


def generated(folder, count=5):
    images = np.random.default_rng(0).random((count, *SPEC.shape), np.float32)
    labels = np.arange(count)[:, None] % 2
    write_image_set(folder, SPEC, [images[:2], images[2:]], labels)
    return images, labels


def test_generated_images_come_back_to_half_precision(tmp_path):
    images, labels = generated(tmp_path)
    found = ImageSet.open(tmp_path)
    assert len(found) == 5 and found.shape == SPEC.shape and found.factors == (FACTOR,)
    assert np.array_equal(found.labels, labels)
    assert np.allclose(found.read([4, 1]), images[[4, 1]], atol=2.0**-11)  # half a step below 1


def test_drawn_images_are_drawn_again(tmp_path):
    strokes = Strokes.straight([[0, 1], [1, 2], [2, 2]])
    write_strokes(tmp_path, strokes)
    write_labels_and_spec(tmp_path, SPEC, np.zeros((3, 1), np.int16))
    assert np.array_equal(ImageSet.open(tmp_path).read([2, 0]), draw_images(SPEC, strokes, [2, 0]))


def test_generated_images_replace_drawn_ones(tmp_path):
    write_strokes(tmp_path, Strokes.straight([[0, 1]]))
    images, _ = generated(tmp_path)
    assert np.allclose(ImageSet.open(tmp_path).read([0]), images[:1], atol=2.0**-11)


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
