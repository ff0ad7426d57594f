"""What moves executions and notifications, each on a database of its own; and this process's services."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from svops_plugin.bootstrap import Services, services
from tests.integration.desk import Desk
from tests.integration.receivers import Office


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


@pytest.fixture
def office(engine: Engine) -> Office:
    return Office(Desk(engine))


@pytest.fixture
def svops(svops_database: str, airflow_metadata: None) -> Services:  # noqa: ARG001
    return services()
