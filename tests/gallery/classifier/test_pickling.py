import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from gallery.classifier.dataset import Dataset
from gallery.classifier.errors import ClassifierDamaged
from gallery.classifier.fitting import fit
from gallery.classifier.pickling import pickled, unpickled
from tests.conftest import PROJECT
from tests.gallery.classifier.crowd import DIM, faces

KINDS = ("svc", "knn", "centroid")
IN_ANOTHER_PROCESS = (
    "import hashlib; from tests.gallery.classifier.crowd import faces; from gallery.classifier.dataset import Dataset; "
    "from gallery.classifier.fitting import fit; from gallery.classifier.pickling import pickled; "
    "print(hashlib.sha256(b''.join(pickled(fit(Dataset.of(*faces(sizes)), kind)) "
    "for kind in ('svc', 'knn', 'centroid') for sizes in ([2, 2], [5, 9, 6], [2, 8, 7]))).hexdigest())"
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [[2, 3], [6, 5, 9], [2, 8, 5]])
def test_what_is_read_back_says_the_same(kind, sizes):
    fitted = fit(Dataset.of(*faces(sizes)), kind)
    back = unpickled(pickled(fitted), len(sizes), DIM)
    probes, _ = faces([5] * len(sizes), seed=500)

    one, other = fitted.predict(probes), back.predict(probes)
    assert np.array_equal(one.best, other.best)
    assert np.array_equal(one.confidence, other.confidence)
    assert np.array_equal(one.similarity, other.similarity)


def test_two_processes_make_the_same_bytes():
    def made(seed: str) -> str:
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
        return subprocess.run(command, env=environ, cwd=PROJECT, capture_output=True, text=True, check=True).stdout

    assert made("1") == made("2")


class Command:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/whosthere-was-here",)


@pytest.mark.parametrize("asked", [Command(), subprocess.Popen, io.open, np.load])
def test_nothing_else_is_unpickled(asked):
    packed = pickle.dumps({"scaler": asked, "classifier": 1, "calibrated": None, "calibrated_labels": 1, "means": 1})
    with pytest.raises(ClassifierDamaged, match="asks for"):
        unpickled(packed, 2, DIM)


@pytest.mark.parametrize("packed", [b"", b"rubbish", pickle.dumps({}), pickle.dumps([1, 2])])
def test_rubbish_is_no_classifier(packed):
    with pytest.raises(ClassifierDamaged):
        unpickled(packed, 2, DIM)


@pytest.mark.parametrize(("classes", "dim"), [(3, DIM), (2, DIM + 1), (1, DIM)])
def test_of_other_people_or_another_network_it_is_refused(classes, dim):
    with pytest.raises(ClassifierDamaged, match="other people or another network"):
        unpickled(pickled(fit(Dataset.of(*faces([3, 3])))), classes, dim)
