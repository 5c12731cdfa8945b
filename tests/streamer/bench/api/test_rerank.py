"""Each form of a request says the same."""

import base64

import numpy as np
import orjson
import pytest

from streamer.bench.api.rerank import FORMS, bodies_in
from streamer.bench.gallery.rerank import CANDIDATES, NUMBERS, faces

READ = {
    "all_digits": np.float32,
    "float32_digits": np.float32,
    "base64": lambda one: np.frombuffer(base64.b64decode(one), "<f4"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_probe_and_all_candidates(tmp_path, form):
    bodies = bodies_in(tmp_path / "some" / form, FORMS[form])
    asked = [orjson.loads(body.file.read_bytes()) for body in bodies]
    assert len({str(one["probe"]) for one in asked}) == len(bodies) > 1
    points, read = faces(), READ[form]
    for one in asked:
        assert np.array_equal([read(candidate["embedding"]) for candidate in one["candidates"]], points[1:])
        assert len({candidate["id"] for candidate in one["candidates"]}) == CANDIDATES
        assert np.shape(read(one["probe"])) == (NUMBERS,)
    assert np.array_equal(read(asked[0]["probe"]), points[0])
