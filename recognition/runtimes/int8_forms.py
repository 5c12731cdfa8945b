"""Int8 networks on this processor: a file's bytes in, a session that computes what the file says out, and its form.

ONNX Runtime computes such a network in integers, which some processors add up in 16 bits that saturate, and says
nothing (int8_graph.py). Blocks for the network's start.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from recognition.errors import UnsupportedRuntime, WeightsUnreadable
from recognition.runtimes.int8_graph import is_quantised, need_onnx, read_graph, risk_of, with_unsigned_weights
from recognition.runtimes.onnx_session import Session, open_session, refusals

EXACT = "exact int8 (no VNNI)"
UNFUSED = "unfused int8"
_LARGEST_U8, _LARGEST_S8 = 255, 127


@dataclass(frozen=True, slots=True)
class Opened:
    """`form` None: the file as it is."""

    session: Session
    form: str | None


@cache
def saturates() -> bool:
    """Whether ONNX Runtime's sums of unsigned times signed bytes saturate on this processor: it is tried.

    By what is computed and not by the processor's flags: those of one under an emulator are its host's. Raises
    UnsupportedRuntime where ONNX Runtime or the onnx package is missing.
    """
    need_onnx("int8 sums")
    import onnx
    from onnx import TensorProto, helper

    weights = helper.make_tensor(
        "w", TensorProto.INT8, [8, 16], np.full((8, 16), _LARGEST_S8, np.int8).tobytes(), raw=True
    )
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "saturates",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["rows", 8])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["rows", 16])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    session = open_session(model.SerializeToString())
    # One row and several go different ways.
    sums = [session.run(None, {"x": np.full((rows, 8), _LARGEST_U8, np.uint8)})[0] for rows in (1, 4)]
    return any(bool((one != 8 * _LARGEST_U8 * _LARGEST_S8).any()) for one in sums)


def planned_form(weights: bytes, who: str) -> str | None:
    """The form that open_form() will try first on this processor. Opens nothing, raises as it does."""
    return _plan(weights, who)[0]


def open_form(weights: bytes, who: str, *, unfused: bool = False) -> Opened:
    """The fastest form that is right here; `unfused`: the slowest, for where a faster one turned out to be wrong.

    Raises one of refusals(), WeightsUnreadable, and UnsupportedRuntime where no form can be right.
    """
    form, data = _plan(weights, who)
    if form == EXACT and not unfused:
        try:
            return Opened(open_session(data), form)
        except refusals():
            unfused = True
    if unfused:
        form = UNFUSED
    return Opened(open_session(data, unfused=form == UNFUSED), form)


def _plan(weights: bytes, who: str) -> tuple[str | None, bytes]:
    """A form, and the network that is to be opened for it."""
    if not is_quantised(weights):
        return None, weights
    need_onnx(who)
    if not saturates():
        return None, weights
    try:
        graph = read_graph(weights, who)
        risk = risk_of(graph)
        edited = with_unsigned_weights(graph) if risk.weights and not risk.others else weights
    except (ValueError, TypeError, IndexError) as error:
        raise WeightsUnreadable(f"{who}: its int8 weights can't be read ({error}); get it again") from None
    if risk.others and not risk.unfused_is_exact:
        raise UnsupportedRuntime(
            f"{who}: this processor has no VNNI and would compute its int8 weights {risk.others[0]} wrongly, and they "
            "can't be made exact; use the model in another precision"
        )
    if risk.others:
        return UNFUSED, weights
    return (EXACT, edited) if risk.weights else (None, weights)
