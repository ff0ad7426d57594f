"""SVOps' REST API as one of its front ends uses it."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx

from svops_plugin.presentation.cli.stack.supervisor import StackError

Json = dict[str, Any]
READ_TIMEOUT = 10.0  # an interrupt has to wait for so long at worst
WRITE_TIMEOUT = 60.0


class NoAnswer(StackError):
    """The API has not answered in time, or not at all."""


class Refused(StackError):
    """The API has answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """A signed-in user of the API.

    :param url: of the API server
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/svops/api/v1/", trust_env=False, timeout=READ_TIMEOUT)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def is_healthy(self) -> bool:
        """Tell whether the API answers and can work."""
        try:
            return self._http.get("health").is_success
        except httpx.TransportError:
            return False

    def sign_in(self, username: str, password: str) -> None:
        """Sign in by password."""
        tokens = self.post("auth/login", {"username": username, "password": password})
        self.use_token(tokens["access_token"])

    def use_token(self, token: str) -> None:
        """Be whoever the access token is for."""
        self._http.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **query: Any) -> Json:
        """Read a resource.

        :raises Refused: if the API answers with an error
        :raises NoAnswer: if it does not answer
        """
        return self._request("GET", path, params=query)

    def post(self, path: str, body: Json) -> Json:
        """Make a resource or start something; raises as `get` does."""
        return self._request("POST", path, json=body, timeout=WRITE_TIMEOUT)

    def find(self, path: str, name: str) -> Json | None:
        """Return the resource of this name from a list, if there is one; raises as `get` does."""
        return next((item for item in self.get(path, q=name)["items"] if item["name"] == name), None)

    def _request(self, method: str, path: str, **parts: Any) -> Json:
        try:
            response = self._http.request(method, path, **parts)
        except httpx.TransportError as error:
            raise NoAnswer(f"{method} {path}: the API does not answer ({error}).") from error
        try:
            answer: Json = response.json()
        except ValueError as error:
            raise StackError(
                f"{method} {path}: no JSON, but {response.status_code}: {response.text[:500]}"
            ) from error
        if response.is_error:
            reason = answer.get("detail", response.reason_phrase)
            raise Refused(response.status_code, f"{method} {path}: {response.status_code} {reason}")
        return answer
