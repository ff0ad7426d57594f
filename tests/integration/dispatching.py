"""A process that is a dispatcher and nothing else, to be killed; its argument is the database's address."""

from __future__ import annotations

import sys
import threading

from svops_plugin.application import dispatcher
from svops_plugin.infrastructure.database.engine import make_engine
from tests.integration.desk import Desk
from tests.integration.receivers import Office

if __name__ == "__main__":
    dispatcher.FIRST_DELAY, dispatcher.LONGEST_DELAY = 0.01, 0.1
    dispatcher.MOST_ATTEMPTS = 1_000  # at a receiver that fails half the time
    Office(Desk(make_engine(sys.argv[1], pooled=True))).dispatcher().run(threading.Event())
