"""People erased from everywhere, by their ids, and told of step by step. Blocks.

The first step destroys the keys: from then on nobody is known, whatever the others still have to do. What a step has
to leave is told, and done by the service, the next purge, or whoever reads the report.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from gallery.people import Profile
from streamer.erasure.report import Report, StepTaken
from streamer.erasure.steps import STEPS, Step
from streamer.erasure.task import Task
from streamer.settings import Settings


def erase(
    person_ids: Collection[str],
    settings: Settings,
    *,
    actor: str,
    in_service: bool = False,
    why: Mapping[str, str] = {},
    is_over: Callable[[Profile, float], bool] = lambda _profile, _newest: True,
    begins: Callable[[Step], None] = lambda _: None,
    told: Callable[[StepTaken], None] = lambda _: None,
    steps: Sequence[Step] = STEPS,
) -> Report:
    """Erase these people, also of whom something was left the last time, and all whose erasure was cut off. `begins`
    and `told`: of each step.

    `actor`: who is told to the audit log. `in_service`: called by the running service itself, off its loop, which
    takes care of its own outbox and topics. `why`: by id, what the audit log is told besides, of
    people who are erased only where `is_over` says so still, in the same transaction. Raises GalleryError where
    the keys can't be destroyed: nothing is erased then.
    """
    task = Task(frozenset(person_ids), settings, actor, in_service, why, is_over)
    with task.store() as store:
        task = replace(task, person_ids=task.person_ids | store.unfinished())
    began_s, taken = time.monotonic(), []
    for step in steps:
        begins(step)
        outcome = step.run(task)
        taken.append(StepTaken(step.name, outcome, time.monotonic() - began_s))
        told(taken[-1])
        task = replace(task, person_ids=task.person_ids - outcome.spared)
        if step is STEPS[0]:  # and all ids that were merged into theirs
            with task.store() as store:
                task = replace(task, person_ids=task.person_ids | store.unfinished(), visits=outcome.visits)
        if not task.person_ids:
            break
    report = Report(tuple(sorted(task.person_ids)), tuple(taken))
    if len(taken) == len(STEPS) and report.is_finished:
        with task.store() as store:
            store.finish(task.person_ids)
    return report
