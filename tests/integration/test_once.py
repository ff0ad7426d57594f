"""Keys make it once: who asks again with the same key gets the first answer."""

from __future__ import annotations

from functools import partial

import pytest

from svops_plugin.application.executions import Once
from svops_plugin.domain.entities import Execution
from svops_plugin.domain.errors import Conflict, InvalidInput
from tests.integration.desk import Desk, cause
from tests.integration.support import at_once

ONCE = Once("user:1", "key", "d" * 64)


def test_the_second_time_gets_the_first_answer(desk: Desk) -> None:
    task = desk.new_task()
    first = desk.execute(task, once=ONCE)
    assert desk.execute(task, once=ONCE).id == first.id
    desk.controller.complete(first.run_name)
    assert desk.execute(task, once=ONCE).id == first.id
    assert desk.executions() == 1


def test_at_once(desk: Desk) -> None:
    task = desk.new_task()
    answers = at_once(8, lambda _: desk.execute(task, once=ONCE))
    assert all(isinstance(answer, Execution) for answer in answers), answers
    assert len({answer.id for answer in answers if isinstance(answer, Execution)}) == 1
    assert desk.executions() == 1


def test_another_request_with_the_same_key(desk: Desk) -> None:
    task = desk.new_task()
    desk.execute(task, once=ONCE)
    with pytest.raises(InvalidInput, match="another request"):
        desk.execute(task, once=Once("user:1", "key", "e" * 64))


def test_somebody_elses_key_is_another(desk: Desk) -> None:
    task = desk.new_task()
    desk.execute(task, once=ONCE)
    with pytest.raises(Conflict, match="running already"):
        desk.execute(task, once=Once("user:2", "key", "d" * 64))


def test_a_refusal_uses_no_key_up(desk: Desk) -> None:
    task = desk.new_task()
    desk.problems = ["it is empty"]
    with pytest.raises(InvalidInput):
        desk.execute(task, once=ONCE)
    desk.problems = []
    assert desk.execute(task, once=ONCE).attempt == 1


@pytest.mark.parametrize("again", ["execute", "retry"])
def test_a_refusal_of_airflows_uses_no_key_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """It comes when the answer has been kept with the claim, and is the answer then."""
    task = desk.new_task()
    if again == "retry":
        desk.controller.fail(desk.execute(task).run_name, cause("prepare"))
    ask = partial(desk.execute, task) if again == "execute" else partial(desk.retry, task)

    def refuse(*_: object) -> None:
        raise Conflict("Airflow refused to run it.")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(desk.airflow, "trigger", refuse)
        for _ in range(2):
            with pytest.raises(Conflict, match="Airflow refused"):
                ask(once=ONCE)
            assert desk.task(task).status == "failed"
    execution = ask(once=ONCE)
    assert desk.standing(execution)[:2] == ("running", "running")
    assert ask(once=ONCE).id == execution.id


def test_an_airflow_that_does_not_answer_uses_it_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trigger is owed then, so the answer stands."""
    task = desk.new_task()
    monkeypatch.setattr(desk.airflow, "problems", lambda _: setattr(desk.airflow, "down", True) or [])
    execution = desk.execute(task, once=ONCE)
    desk.airflow.down = False
    assert desk.execute(task, once=ONCE).id == execution.id
    assert desk.executions() == 1
