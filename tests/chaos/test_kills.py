"""Whatever is killed, and whenever: every chain comes to the end that its DAG runs have.

Every blow meets six chains, each in another phase; as many blows as there are victims meet every phase with
every victim. The time to repair a chain begins when the victim is back: an API server answers, PostgreSQL
accepts connections, a DAG processor has parsed, the others have written their first heartbeat; a task's
process, which nobody starts again, is dead. It ends with the commit that ends the execution, so it holds all
that was left of the chain's own work. Chains that ended before are not counted. It is judged only where
``--at-most`` gives a limit, as ``make chaos`` does.
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
    metafunc.parametrize("blow", [f"{number}-{victim}" for number, victim in enumerate(order)])


def test_after_a_kill_every_chain_ends_right(stack: Stack, report: Report, blow: str) -> None:
    random, victim = Random(f"{report.seed} {blow}"), blow.partition("-")[2]
    with formed(stack, random, by_hand=True) as formation:
        back = strike(formation, victim, failing(formation, random))
    wrong = stack.settle(formation.task_ids)
    seconds = [end.timestamp() - back for end in stack.ends(formation.task_ids).values()]
    report.add_kill(blow, len(formation.chains), [one for one in seconds if one > 0])
    assert not wrong, "\n".join(wrong)
    assert report.limit is None or max(seconds) <= report.limit


def failing(formation: Formation, random: Random) -> dict[int, int]:
    """Choose a chain that is to fail, and in which of the DAGs that it has yet to go through."""
    chain = formation.chains[random.choice([phase for phase in Phase if phase is not Phase.COMPLETE])]
    return {chain.task_id: random.randint(chain.position, LAST)}
