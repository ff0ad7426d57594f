"""The API's description as a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from svops_plugin.domain.entities import Json

HEADINGS = {"dags": "DAGs"}
HEADER = "<!-- Made by `make docs` of the API itself; edits are lost. -->\n\n# The REST API\n"


def reference(described: Json) -> str:
    """Return an OpenAPI description in Markdown."""
    return "\n".join([HEADER, *_lines(described)]).rstrip() + "\n"


def _lines(described: Json) -> Iterator[str]:
    yield described["info"]["description"]
    yield f"\nAll paths are below `{described['servers'][0]['url']}`."
    yield from _catalogue(described["components"]["responses"])
    for tag in described["tags"]:
        yield f"\n## {HEADINGS.get(tag['name'], tag['name'].capitalize())}"
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                if tag["name"] in operation["tags"]:
                    yield from _operation(method, path, operation)
    yield "\n## What is sent and answered"
    for name, schema in described["components"]["schemas"].items():
        yield f"\n### {name}\n"
        yield from _fields(schema)


def _catalogue(responses: Json) -> Iterator[str]:
    yield "\n## Problems\n"
    yield "| status | `type` | means |"
    yield "| --- | --- | --- |"
    for response in responses.values():
        ((_, content),) = response["content"].items()
        body = content["example"]
        yield f"| {body['status']} {body['title']} | `{body['type']}` | {body['detail']} |"


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"\n### {method.upper()} {path}\n"
    needs = "" if operation.get("security", True) else " Anybody may."
    yield f"{operation['summary']}.{needs} {operation.get('description', '')}".rstrip()
    if operation["parameters"]:
        yield "\n| parameter | in | type | means |"
        yield "| --- | --- | --- | --- |"
        for one in operation["parameters"]:
            yield f"| `{one['name']}` | {one['in']} | {_type(one['schema'])} | {one.get('description', '')} |"
    if "requestBody" in operation:
        for media_type, content in operation["requestBody"]["content"].items():
            yield f"\nSend {_type(content['schema'])} as `{media_type}`:"
            yield _block(content["example"])
    yield from _responses(operation["responses"])


def _responses(responses: Json) -> Iterator[str]:
    refusals = []
    for status, response in responses.items():
        if "$ref" in response:
            refusals.append(f"{status} {response['$ref'].rpartition('/')[2]}")
        elif "content" not in response:
            yield f"\nAnswers {status}, without a body."
        else:
            ((media_type, content),) = response["content"].items()
            end = ":" if "example" in content else "."
            yield f"\nAnswers {status}, {_type(content['schema'])} as `{media_type}`{end}"
            if "example" in content:
                yield _block(content["example"])
    yield f"\nRefuses with {', '.join(refusals)}."


def _fields(schema: Json) -> Iterator[str]:
    required = schema.get("required", [])
    yield "| field | type | | means |"
    yield "| --- | --- | --- | --- |"
    for name, field in schema.get("properties", {}).items():
        always = "always" if name in required else ""
        yield f"| `{name}` | {_type(field)} | {always} | {field.get('description', '')} |"


def _type(schema: Json) -> str:
    """Return a schema's type in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    kinds: Any = schema.get("type", "any")
    said = " or ".join(kinds) if isinstance(kinds, list) else kinds
    if "items" in schema:
        said += f" of {_type(schema['items'])}"
    if "enum" in schema:
        said = " ".join(f"`{value}`" for value in schema["enum"] if value is not None)
    limits = [
        f"{word} {schema[key]}"
        for key, word in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("minLength", "at least"),
            ("maxLength", "at most"),
            ("maxItems", "at most"),
        )
        if key in schema
    ]
    return f"{said} ({', '.join(limits)})" if limits else said


def _block(value: Any) -> str:
    return f"\n```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"
