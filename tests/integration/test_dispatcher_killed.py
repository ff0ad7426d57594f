"""A dispatcher that is killed again and again, while its receiver fails half the time."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy.engine import Engine

from svops_plugin.application.dispatcher import LEASE
from svops_plugin.domain.entities import Event, utcnow
from svops_plugin.infrastructure.database import tables
from tests.integration.desk import Desk
from tests.integration.live import PATIENCE
from tests.integration.receivers import Answer, Hit, Office, Receiver

EVENTS, KILLS = {"postgresql": 500, "sqlite": 60}, {"postgresql": 6, "sqlite": 2}
CONFIGS = ("one", "two", "three")
SPREAD = 4.0  # seconds that the events of a round come in, and within which half the kills fall


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


class FlakyReceiver:
    """Fails half the time, and can kill a dispatcher when it has got a message and not answered yet."""

    def __init__(self, chance: random.Random) -> None:
        self.taken: list[Hit] = []
        self.kills = 0
        self._chance = chance
        self._lock = threading.Lock()
        self._trap: tuple[int, subprocess.Popen[bytes]] | None = None
        self.http = Receiver(self._answer)

    def kill_after(self, number: int, dispatcher: subprocess.Popen[bytes]) -> None:
        """Take so many more, and kill the dispatcher before the last of them is answered."""
        with self._lock:
            self._trap = len(self.taken) + number, dispatcher

    def _answer(self, hit: Hit) -> Answer:
        with self._lock:
            if self._chance.random() < 0.5:
                return Answer(500)
            self.taken.append(hit)
            if self._trap and len(self.taken) >= self._trap[0]:
                self._trap[1].kill()
                self._trap, self.kills = None, self.kills + 1
        return Answer(204)


def write(office: Office, numbers: Sequence[int]) -> None:
    """Write events one by one, while the dispatcher starts, sends and is killed."""
    for one in numbers:
        with office.desk.transactions() as uow:
            uow.record(Event(type="system.error", data={"message": str(one), "component": "tests"}))
        time.sleep(SPREAD / len(numbers))


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_and_nothing_told_twice_under_two_ids(engine: Engine, seed: int) -> None:
    chance, events, kills = random.Random(seed), EVENTS[engine.dialect.name], KILLS[engine.dialect.name]
    receiver, office = FlakyReceiver(chance), Office(Desk(engine))
    for name in CONFIGS:
        office.tell(name, "webhook", receiver.http.url(f"/{name}"), "system_error")
    with ThreadPoolExecutor(1) as pool:
        for number in range(kills):
            numbers = range(number, events, kills)
            with dispatching(engine) as process:
                writing = pool.submit(write, office, numbers)
                if number % 2:
                    receiver.kill_after(chance.randint(1, len(numbers) * len(CONFIGS)), process)
                    process.wait(PATIENCE)
                else:
                    time.sleep(chance.uniform(0, SPREAD))
            if number < kills - 1:  # the last lease ends by itself
                let_the_lease_end(engine)
            writing.result()
    with dispatching(engine):
        office.settled(*CONFIGS)
    receiver.http.close()
    assert receiver.kills == kills // 2
    for name in CONFIGS:
        told = [hit for hit in receiver.taken if hit.path == f"/{name}"]
        assert Counter(str(one.status) for one in office.deliveries(name)) == {"delivered": events}
        assert {int(hit.json["data"]["message"]) for hit in told} == set(range(events))
        assert len({hit.id for hit in told}) == events
        assert len({(hit.id, hit.json["id"]) for hit in told}) == events
    again = len(receiver.taken) - events * len(CONFIGS)
    assert again >= receiver.kills  # what had been taken, and not been written down
