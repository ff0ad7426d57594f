"""Whenever a chain is stopped, it ends as cancelled, no process of it survives, and nothing begins later."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from tests.chaos.formation import Phase, formed
from tests.chaos.report import Report
from tests.chaos.stack import Stack


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rounds = -(-metafunc.config.getoption("stops") // len(Phase))
    metafunc.parametrize("number", range(rounds))


def test_a_stop_in_each_phase(stack: Stack, report: Report, number: int) -> None:
    """Stop six chains at once; three of the stops wait for a lock, behind what waits for it in its phase."""
    random = Random(f"{report.seed} {number}")
    with (
        ThreadPoolExecutor(len(Phase)) as pool,
        formed(stack, random, by_hand=False) as formation,
    ):
        order = random.sample(list(Phase), len(Phase))
        answers = {
            phase: pool.submit(stack.api.post, f"tasks/{formation.chains[phase].task_id}/stop")
            for phase in order
        }
        stopped = time.time()
        formation.let_go()
        formation.unpause()
        codes = {phase: answer.result().status_code for phase, answer in answers.items()}
        wrong = stack.settle(formation.task_ids)
        report.dying.append(time.time() - stopped)
    report.stops += len(codes)
    states = {phase: status(stack, chain.task_id) for phase, chain in formation.chains.items()}
    assert not wrong, "\n".join(wrong)
    just_completed = {Phase.COMPLETE: 409} if states[Phase.COMPLETE] == "completed" else {}
    assert codes == {**dict.fromkeys(Phase, 200), **just_completed}
    assert states == {**dict.fromkeys(Phase, "cancelled"), **dict.fromkeys(just_completed, "completed")}


def status(stack: Stack, task_id: int) -> str:
    return str(stack.api.get(f"tasks/{task_id}/status").json()["overall_status"])
