import pytest
from pydantic import TypeAdapter, ValidationError

from recognition.specs.devices import Device, count_gpus, gpu_number, missing_gpu, wanted_device

ADAPTER: TypeAdapter[str] = TypeAdapter(Device)


@pytest.mark.parametrize(("name", "number"), [("auto", 0), ("cpu", 0), ("cuda", 0), ("cuda:0", 0), ("cuda:7", 7)])
def test_names(name, number):
    assert gpu_number(ADAPTER.validate_python(name)) == number


@pytest.mark.parametrize(
    ("policy", "asked", "wanted"),
    [
        ("auto", "auto", "auto"),
        ("auto", "cuda", "cuda:0"),
        ("auto", "cuda:01", "cuda:1"),
        ("cpu", "cuda:1", "cpu"),
        ("cuda:2", "cpu", "cuda:2"),
    ],
)
def test_a_models_own_policy_goes_before_what_is_asked(policy, asked, wanted):
    assert wanted_device(policy, asked) == wanted


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:a", "cuda:1 ", "cpu:0", "cuda:1000", 3])
def test_what_is_no_device(name):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(name)


@pytest.mark.parametrize(
    ("number", "count", "why"),
    [
        (0, 1, None),
        (7, 8, None),
        (7, None, None),  # nobody can tell: ONNX Runtime will
        (0, 0, "CUDA sees no GPU"),
        (1, 1, "there is no GPU 1: CUDA sees 1, cuda:0"),
        (7, 4, "there is no GPU 7: CUDA sees 4, cuda:0 to cuda:3"),
    ],
)
def test_a_gpu_that_is_missing_is_told(number, count, why):
    assert missing_gpu(number, count) == why


def test_counting_needs_no_gpu():
    count = count_gpus()
    assert count is None or count >= 0
