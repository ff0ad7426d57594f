"""Waiting for a step's DAG run in the triggerer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from svops_plugin.bootstrap import host, services
from svops_plugin.domain.errors import SVOpsError

log = logging.getLogger(__name__)

SHORTEST_INTERVAL, LONGEST_INTERVAL = 0.5, 10.0
POLLS_PER_SECOND = 25


class ChainStepTrigger(BaseTrigger):
    """Waits for a DAG run and ends the waiting task itself when that succeeds.

    Ending from the trigger matters: a task that is queued again after its deferral can be failed by the
    scheduler as "state mismatch" (apache/airflow #66374), and it would take a worker to say "done".

    :param started: when the waiting began, in seconds since the epoch
    :param completes: the run of the controller whose execution is completed when the DAG run succeeds
    """

    waiting = 0  # how many of them run in this process

    def __init__(self, dag_id: str, run_id: str, started: float, completes: str | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's triggers are partly typed
        self.dag_id = dag_id
        self.run_id = run_id
        self.started = started
        self.completes = completes

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and arguments that make this trigger again in the triggerer."""
        arguments = {name: getattr(self, name) for name in ("dag_id", "run_id", "started", "completes")}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll the run's state; success ends the task, anything else that is final wakes it.

        A poll costs the triggerer several milliseconds, so a run that has taken long is asked for less often:
        at a twentieth of its age, between half a second and ten. All that wait in one triggerer share 25
        polls a second.
        """
        type(self).waiting += 1
        try:
            yield await self._end()
        finally:
            type(self).waiting -= 1

    async def _end(self) -> TriggerEvent:
        while True:
            try:
                state = await host().child_state(self.dag_id, self.run_id)
            except Exception:
                log.exception("Asking for the state of %s %s failed; trying again.", self.dag_id, self.run_id)
                state = "unknown"
            if state == "success":
                await self._complete()
                return TaskSuccessEvent()
            if state in {"failed", None}:
                return TriggerEvent({"state": state or "deleted"})  # type: ignore[no-untyped-call]  # as above
            age = time.time() - self.started
            fair = type(self).waiting / POLLS_PER_SECOND
            await asyncio.sleep(max(min(max(age / 20, SHORTEST_INTERVAL), LONGEST_INTERVAL), fair))

    async def _complete(self) -> None:
        """Complete the execution, or leave that to the monitor when the controller's run has succeeded."""
        if self.completes is None:
            return
        try:
            await asyncio.to_thread(services().controller.complete, self.completes)
        except SVOpsError as refusal:
            log.warning("Run %s is not completed here: %s", self.completes, refusal)
        except Exception:
            log.exception("Completing run %s failed; the monitor does it.", self.completes)
