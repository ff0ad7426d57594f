"""Whatever is killed, and whenever: every chain comes to the end that its DAG runs have.

Every blow meets six chains, each in another phase, so that as many blows as there are victims meet every phase with every
victim. From the moment that the victim is back (an API server answers, PostgreSQL accepts connections, the others have
written their first heartbeat; of a task's process, which nobody starts again, that it is dead) to the commit that ends
the execution is the time to repair a chain. It holds all that is left of the chain's own work; chains that ended earlier
are not counted.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.chaos.blows import strike, victims
from tests.chaos.formation import LAST, Formation, Phase, formed
from tests.chaos.report import Report
from tests.chaos.stack import Stack


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.getoption
    order = victims(option("seed"), option("kills"))
    metafunc.parametrize(
        ("number", "victim"), list(enumerate(order)), ids=[f"{n}-{victim}" for n, victim in enumerate(order)]
    )


def test_after_a_kill_every_chain_ends_right(
    stack: Stack, report: Report, seed: int, number: int, victim: str
) -> None:
    random = Random(f"{seed} {number}")
    with formed(stack, random, by_hand=True) as formation:
        back = strike(formation, victim, failing(formation, random))
    wrong = stack.settle(formation.task_ids)
    report.kills += 1
    report.chains += len(formation.chains)
    for task_id, end in stack.ends(formation.task_ids).items():
        if (seconds := end.timestamp() - back) > 0:
            report.seconds.append(seconds)
            report.slowest = max(report.slowest, (seconds, f"{number}-{victim}, task {task_id}"))
    assert wrong == []


def failing(formation: Formation, random: Random) -> dict[int, int]:
    """Choose a chain that is to fail, and in which of the DAGs that it has yet to go through."""
    chain = formation.chains[random.choice([phase for phase in Phase if phase is not Phase.COMPLETE])]
    return {chain.task_id: random.randint(chain.position, LAST)}
