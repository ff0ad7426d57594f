"""One step of the chain."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred, conf
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from svops_plugin.application.controller import ControllerRun, Step
from svops_plugin.bootstrap import copy_outputs, host, services
from svops_plugin.domain.errors import ConfigurationProblem, Conflict, SVOpsError, Unavailable
from svops_plugin.orchestration.trigger import ChainStepTrigger

LOOKS = (0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.2)  # seconds; a hand-over to the triggerer takes as long when busy


def slots() -> float:
    """Return how many tasks a scheduler lets run at once."""
    return conf.getint("core", "parallelism") or math.inf


def controller_run(run: Any) -> ControllerRun:
    """Describe the DAG run of a task's context."""
    return ControllerRun(
        run.run_id,
        dict(run.conf or {}),
        getattr(run, "triggering_user_name", None) or "airflow",
        run.start_date if run.clear_number else None,
    )


class ChainStepOperator(TriggerDagRunOperator):
    """Triggers a DAG of the chain and waits for it without holding a worker slot.

    It is TriggerDagRunOperator with ``wait_for_completion`` and ``deferrable`` that waits in its own way: see
    :class:`ChainStepTrigger`. Its run id and conf are the execution's, so it is safe to repeat after any
    crash: a run that exists already is adopted.

    :param trigger_dag_id: the DAG
    :param position: its place in the chain, from 1
    """

    def __init__(self, *, trigger_dag_id: str, position: int, **kwargs: Any) -> None:
        super().__init__(
            trigger_dag_id=trigger_dag_id,
            wait_for_completion=True,
            deferrable=True,
            poke_interval=1,
            weight_rule="absolute",  # by default it counts what follows, and goes before its own DAG's tasks
            **kwargs,
        )
        self.position = position

    def execute(self, context: Any) -> None:
        """Trigger the step's run, unless an earlier attempt's is reused, and defer."""
        run, started, execute = controller_run(context["dag_run"]), False, super().execute

        def trigger(step: Step) -> None:
            nonlocal started
            self.trigger_run_id, self.conf = step.run_id, step.conf

            def ours(conf: Mapping[str, Any]) -> bool:
                return bool(conf.get("execution_id") == step.execution_id)

            started = host().start_child(execute, context, self.trigger_dag_id, step.run_id, ours)

        try:
            step = services().controller.begin_step(run, self.position, self.trigger_dag_id, trigger)
        except (Unavailable, ConfigurationProblem):
            raise  # to be tried again: Airflow takes a connection for missing while its database is away
        except SVOpsError as refusal:
            raise AirflowFailException(str(refusal)) from refusal
        if step is None:
            self.log.info("The execution has been completed already.")
            return
        if step.reused_from is not None:
            self.log.info(
                "%s was finished before; what it left in %s is reused.", self.trigger_dag_id, step.reused_from
            )
            copy_outputs(step.reused_from, step.output)
            self._succeed(run, step)
            return
        if not started:
            execute(context)
            return
        if step.under_way < slots() and self._ends_soon(context, step.run_id):
            self._succeed(run, step)
            return
        completes = run.run_id if step.is_last else None
        raise TaskDeferred(
            trigger=ChainStepTrigger(self.trigger_dag_id, step.run_id, time.time(), completes),
            method_name="execute_complete",
        )

    def _succeed(self, run: ControllerRun, step: Step) -> None:
        """Complete the execution after its last step.

        :raises AirflowFailException: if it has ended otherwise, or is to be stopped
        """
        if step.is_last:
            try:
                services().controller.complete(run.run_id)
            except Conflict as refusal:
                raise AirflowFailException(str(refusal)) from refusal

    def _ends_soon(self, context: Any, run_id: str) -> bool:
        """Look for a moment whether the run succeeds at once, before the triggerer is asked to wait for it.

        The triggerer takes two to three seconds to take over and to report back, whatever the poll interval,
        and twice that where many do at once. Waiting here for as long as that, and deferring then, costs a
        quick run nothing and a slow one no more than the hand-over does ("spin, then park"). It is for fewer
        chains than there are slots: so none is held that the DAG runs waited for have need of.

        :raises AirflowFailException: if the run fails meanwhile
        """
        for pause in LOOKS:
            time.sleep(pause)
            state = host().child_state_in_task(context, self.trigger_dag_id, run_id)
            if state in {"failed", "deleted"}:
                raise AirflowFailException(f"{self.trigger_dag_id} ended as {state}.")
            if state == "success":
                return True
        return False

    def execute_complete(self, context: Any, event: Any) -> None:
        """Fail: the trigger wakes the task only when the run did not succeed.

        :raises AirflowFailException: so that the failure callback runs at once, in this process
        """
        if not isinstance(event, Mapping):
            super().execute_complete(context, event)
            return
        raise AirflowFailException(f"{self.trigger_dag_id} ended as {event['state']}.")
