"""The same as streamer.api.problem_answers, where branches of issue 17 look for it."""

from streamer.api.problem_answers import OF_GALLERY as OF_GALLERY
from streamer.api.problem_answers import problem_answers as problem_answers
