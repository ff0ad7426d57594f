"""A dispatcher that is killed again and again, while its receiver fails half the time."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.engine import Engine

from svops_plugin.application.dispatcher import LEASE
from svops_plugin.domain.entities import Event, utcnow
from svops_plugin.infrastructure.database import tables
from tests.integration.desk import Desk
from tests.integration.live import eventually
from tests.integration.receivers import Answer, Hit, Office, Receiver

EVENTS, KILLS = {"postgresql": 500, "sqlite": 60}, {"postgresql": 6, "sqlite": 2}
CONFIGS = ("one", "two", "three")


@contextmanager
def dispatching(engine: Engine) -> Iterator[subprocess.Popen[bytes]]:
    """Run a dispatcher in a process of its own, which is killed at the end."""
    url = engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen([sys.executable, "-m", "tests.integration.dispatching", url])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def let_the_lease_end(engine: Engine) -> None:
    """Spare the test the seconds that another process would wait for."""
    with engine.begin() as connection:
        connection.execute(
            tables.lease.update().where(tables.lease.c.name == LEASE).values(expires_at=utcnow())
        )


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_and_nothing_told_twice_under_two_ids(engine: Engine, seed: int) -> None:
    chance, events, kills = random.Random(seed), EVENTS[engine.dialect.name], KILLS[engine.dialect.name]
    taken: list[Hit] = []

    def answer(hit: Hit) -> Answer:
        if chance.random() < 0.5:
            return Answer(500)
        taken.append(hit)
        return Answer(204)

    receiver, office = Receiver(answer), Office(Desk(engine))
    for name in CONFIGS:
        office.tell(name, "webhook", receiver.url(f"/{name}"), "system_error")
    for number in range(kills):
        enough = len(receiver.hits) + chance.randint(1, events * len(CONFIGS) // kills)
        with dispatching(engine):
            for one in range(number, events, kills):
                data = {"message": str(one), "component": "tests"}
                with office.desk.transactions() as uow:
                    uow.record(Event(type="system.error", data=data))
            eventually(lambda enough=enough: len(receiver.hits) >= enough, "some attempts")  # type: ignore[misc]
        let_the_lease_end(engine)
    with dispatching(engine):
        office.settled(*CONFIGS)
    receiver.close()
    told = {name: [hit for hit in taken if hit.path == f"/{name}"] for name in CONFIGS}
    for name in CONFIGS:
        assert Counter(str(one.status) for one in office.deliveries(name)) == {"delivered": events}
        assert {int(hit.json["data"]["message"]) for hit in told[name]} == set(range(events))
        assert len({hit.id for hit in told[name]}) == events
        assert len({(hit.id, hit.json["id"]) for hit in told[name]}) == events
