"""Whatever is killed, and whenever: every chain comes to the end that its DAG runs have.

Every blow meets six chains, each in another phase; as many blows as there are victims meet every phase with
every victim. The time to repair a chain begins when the victim is back: an API server answers, PostgreSQL
accepts connections, a DAG processor has parsed, the others have written their first heartbeat; a task's
process, which nobody starts again, is dead. It ends with the commit that ends the execution, so it holds all
that was left of the chain's own work. Chains that ended before are not counted. It is judged only where
``--at-most`` gives a limit, as ``make chaos`` does.

One chain of each six is told to fail, in a DAG that it has yet to go through, and does. Where no process of a
task dies with the victim, the others complete.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.chaos.blows import ALONE, strike, victims
from tests.chaos.formation import LAST, Formation, Phase, formed
from tests.chaos.report import Report
from tests.chaos.stack import Stack

HARMLESS = {"dag-processor", "triggerer", "triggerer" + ALONE}  # to whatever a task does


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.getoption
    order = victims(option("seed"), option("kills"))
    metafunc.parametrize("blow", [f"{number}-{victim}" for number, victim in enumerate(order)])


def test_after_a_kill_every_chain_ends_right(stack: Stack, report: Report, blow: str) -> None:
    random, victim = Random(f"{report.seed} {blow}"), blow.partition("-")[2]
    with formed(stack, random, by_hand=True) as formation:
        told_to_fail = failing(formation, random)
        back = strike(formation, victim, told_to_fail)
    wrong = stack.settle(formation.task_ids)
    seconds = [end.timestamp() - back for end in stack.ends(formation.task_ids).values()]
    statuses = stack.statuses(formation.task_ids)
    report.add_kill(blow, statuses.values(), [one for one in seconds if one > 0])
    assert not wrong, "\n".join(wrong)
    assert set(statuses.values()) <= {"completed", "failed"}
    failed = {task_id for task_id, status in statuses.items() if status == "failed"}
    assert failed >= told_to_fail.keys()
    assert victim not in HARMLESS or failed == told_to_fail.keys()
    assert report.limit is None or max(seconds) <= report.limit


def failing(formation: Formation, random: Random) -> dict[int, int]:
    """Choose a chain that is to fail, and in which of the DAGs that it has yet to go through."""
    chain = formation.chains[random.choice([phase for phase in Phase if phase is not Phase.COMPLETE])]
    return {chain.task_id: random.randint(chain.position, LAST)}
