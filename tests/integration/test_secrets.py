"""Secrets that can be recognised, wherever SVOps meets some: none is in a log, event, answer or repr."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from websockets.exceptions import ConnectionClosed

from svops_plugin.application.auth import Tokens
from svops_plugin.application.tasks import TaskService
from svops_plugin.bootstrap import Services, services
from svops_plugin.presentation.cli import main
from svops_plugin.presentation.cli.stack.prepare import Administrator
from svops_plugin.presentation.websocket import protocol
from tests.conftest import PostgreSQL, connection
from tests.integration.live import Server, serve, server
from tests.integration.support import ok
from tests.server import PASSWORD, Clients

__all__ = ["serve", "server"]
OF_DATABASE, OF_PERSON, NEXT, WRONG = (
    f"{word} of the secrets test"
    for word in ("database", "right password", "next password", "wrong password")
)
NEXT_PART = "part-of-an-address"
OF_CLIENTS = ("httpx", "httpcore", "websockets")  # loggers of the tests' own client
CONFIDENTIAL = re.compile(r"token|password|secret")


@pytest.fixture
def svops_database(postgresql_database: str, monkeypatch: pytest.MonkeyPatch, clean_services: None) -> str:  # noqa: ARG001
    """The database, with a password in its connection that the server does not ask for."""
    told = {**json.loads(connection(postgresql_database)), "password": OF_DATABASE}
    monkeypatch.setenv("AIRFLOW_CONN_SVOPS_DB", json.dumps(told))
    return postgresql_database


class Everything(logging.Handler):
    """Keeps what every logger of the process says, with its tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        of_frames = record.name.startswith("uvicorn") and record.levelno == logging.DEBUG  # each byte
        if not of_frames and not record.name.startswith(OF_CLIENTS):
            self.said.append(self.format(record))


@pytest.fixture
def logs() -> Iterator[list[str]]:
    """What is logged from now on, at any level and by whomever."""
    names = [name for name, one in logging.root.manager.loggerDict.items() if isinstance(one, logging.Logger)]
    loggers = [logging.root, *map(logging.getLogger, names)]
    before = [(one, one.level, one.disabled) for one in loggers]
    handler = Everything()
    for one in loggers:
        one.setLevel(logging.DEBUG)
        if one is logging.root or not one.propagate:
            one.addHandler(handler)
    yield handler.said
    for one, level, disabled in before:
        one.removeHandler(handler)
        one.setLevel(level)
        one.disabled = disabled


def planted() -> set[str]:
    """Return the secrets of the installation."""
    keys = {key for name, key in os.environ.items() if re.match("AIRFLOW__.*(FERNET_KEY|SECRET)", name)}
    assert len(keys) > 1
    return {OF_DATABASE, OF_PERSON, NEXT, WRONG, PASSWORD, *keys}


class Conversation:
    """Sends what has secrets in it, and keeps the answers; the tokens among them, apart."""

    def __init__(self, clients: Clients, tokens: dict[str, str]) -> None:
        self.nobody, self.admin = clients(None), clients("admin")
        self.tokens = set(tokens.values())
        self.said: list[str] = []

    def send(self, client: httpx.Client, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = client.request(method, path, **({"json": body, **more} if body is not None else more))
        told = answer.json() if answer.content else {}
        self.tokens |= {told.pop(name) for name in ("access_token", "refresh_token") if name in told}
        self.said.append(f"{answer.headers} {told}")
        return answer

    def sign_in_and_out(self, username: str) -> None:
        """Do it rightly and wrongly; it is for others to see to it that anything succeeds."""
        right = {"username": username, "password": OF_PERSON}
        person = {**right, "email": f"{username}@svops.example", "name": "Q"}
        self.send(self.admin, "POST", "users", person)
        self.send(self.admin, "POST", "users", {**person, "password": [WRONG]})
        self.send(self.nobody, "POST", "auth/register", person)
        for wrong in (
            {**right, "password": WRONG},
            {"password": WRONG},
            {**right, "username": [WRONG]},
            [WRONG],
        ):
            self.send(self.nobody, "POST", "auth/login", wrong)
        broken = {"content": f'{{"password": "{WRONG}",}}', "headers": {"Content-Type": "application/json"}}
        self.send(self.nobody, "POST", "auth/login", **broken)
        self.send(self.nobody, "POST", "auth/login/oauth2", data=right)
        signed_in = self.send(self.nobody, "POST", "auth/login", right)
        tokens = signed_in.json() if signed_in.is_success else {"access_token": WRONG, "refresh_token": WRONG}
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        passwords = {"current_password": WRONG, "new_password": NEXT}
        self.send(self.nobody, "POST", "auth/change-password", passwords, headers=bearer)
        passwords["current_password"] = OF_PERSON
        self.send(self.nobody, "GET", "auth/verify-token", headers=bearer)
        for _ in range(2):  # the second time it is spent
            self.send(self.nobody, "POST", "auth/refresh", {"refresh_token": tokens["refresh_token"]})
        self.send(self.nobody, "POST", "auth/change-password", passwords, headers=bearer)
        self.send(self.nobody, "POST", "auth/logout", {}, headers=bearer)
        self.send(self.nobody, "GET", "tasks", headers={"Authorization": f"Bearer {WRONG}"})
        self.send(self.admin, "GET", "tasks")


def at_the_command_line() -> list[str]:
    commands = (
        ["db", "current"],
        ["db", "clean", "--before", "2026-01-01", "--dry-run"],
        ["dataset", "list"],
        ["task", "list"],
        ["events"],
        ["reconcile"],
        ["doctor"],
        ["doctor", "--json"],
    )
    return [CliRunner().invoke(main, command).output for command in commands]


def test_secrets_are_nowhere(
    *,
    client: Clients,
    tokens: dict[str, str],
    logs: list[str],
    postgresql: PostgreSQL,
    svops_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conversation = Conversation(client, tokens)
    conversation.sign_in_and_out("planted")
    with services(pooled=True).transactions() as uow:
        assert uow.events.newest()
    shown = [*map(str, ok(conversation.admin.get("events"))["items"]), *at_the_command_line()]
    assert "planted" in str(shown)
    postgresql.close(svops_database)
    conversation.sign_in_and_out("unplanted")
    shown += at_the_command_line()
    postgresql.open(svops_database)

    def fail(*_: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(TaskService, "page", fail)
    conversation.send(conversation.admin, "GET", "tasks")
    assert "a defect" in str(logs)
    assert len(conversation.tokens) > len(tokens)
    for secret in planted() | conversation.tokens:
        for kind, texts in {"log": logs, "answer": conversation.said, "shown": shown}.items():
            assert not [text for text in texts if secret in text], (kind, secret)


def test_sockets_tell_no_secret(*, server: Server, tokens: dict[str, str], logs: list[str]) -> None:
    said: list[str] = []
    with server.listening(name="admin") as listener, server.rest("admin") as admin:
        for first in (WRONG, {"type": "auth", "token": WRONG}, {"type": "auth", "token": [WRONG]}):
            with server.connected(name=None) as client:
                client.send(first)
                with pytest.raises(ConnectionClosed) as closed:
                    client.next()
                said.append(str(closed.value))
        assert server.close_code(name=None, Authorization=f"Bearer {WRONG}") == protocol.UNAUTHENTICATED
        with server.connected(name=None) as client:
            said.append(str(client.ask({"type": "auth", "token": tokens["user"]})))
            said.append(str(client.ask({"type": WRONG})))
        config = {"name": "planted", "channel": "webhook", "webhook_url": f"https://1.1.1.1/{NEXT_PART}"}
        shown = ok(admin.post("api/v1/notifications/configs", json=config), 201)
        told = listener.next()
        assert told["type"].startswith("notification.")
        said += [str(told), str(shown)]
    assert len(said) == 7
    for secret in planted() | set(tokens.values()) | {NEXT_PART}:
        assert not [text for text in [*logs, *said] if secret in text], secret


def test_nothing_shows_a_secret_by_its_repr(client: Clients, svops_database: str) -> None:  # noqa: ARG001
    own = services(pooled=True)
    assert isinstance(own, Services)
    answer = ok(client(None).post("auth/login", json={"username": "admin", "password": PASSWORD}))
    account = own.accounts.by_token(answer["access_token"])
    signed_in = Tokens(answer["access_token"], answer["refresh_token"], 1, account)
    things = [own, own.settings, own.engine, own.engine.url, own.auth, own.hub, signed_in]
    things.append(Administrator(password_set=False, token=signed_in.access_token))
    for secret in planted() | {signed_in.access_token, signed_in.refresh_token}:
        assert secret not in repr(things)


def test_dataclasses_leave_secrets_out_of_their_repr() -> None:
    found = [
        (kind.__qualname__, one.name, one.repr)
        for module in list(sys.modules.values())
        if module.__name__.startswith("svops_plugin")
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
        for one in dataclasses.fields(kind)
        if CONFIDENTIAL.search(one.name) and "bool" not in str(one.type)
    ]
    assert {name for _, name, _ in found} >= {"access_token", "refresh_token", "token"}
    assert not [(kind, name) for kind, name, shown in found if shown]
