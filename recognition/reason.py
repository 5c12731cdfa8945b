"""Why something is not so, or was done: a metric's label, a log's field, a sentence for people. Data alone."""

from dataclasses import dataclass

from recognition.errors import CodedError


@dataclass(frozen=True, slots=True)
class Reason:
    """`code`: stable, one of errors.py's or of whoever gives the reason; `why`: a sentence, or the end of one."""

    code: str
    why: str

    @staticmethod
    def of(error: CodedError) -> "Reason":
        return Reason(error.code, str(error))
