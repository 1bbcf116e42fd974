"""Words: texts are numbered by what they mean."""

import pyarrow as pa

from rasterize.ingest.reading import Words


def test_words_of_one_meaning_have_one_number():
    words = Words()
    meaning = {"m": "male", "M": "male", "f": "female", "": None}.get
    column = pa.array(["m", "f", None, "M", "", "m"]).dictionary_encode()
    assert words.number(column, meaning).tolist() == [0, 1, -1, 0, -1, 0]
    assert words.number(pa.array(["f", "m"]).dictionary_encode(), meaning).tolist() == [1, 0]
    assert list(words.texts) == ["male", "female"]
