"""The OpenAPI 3.1 document, made from the same operations as the router."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from aiohttp import web

from api.errors import UnknownCursor
from api.operations import Access, Operation, Shape, Success
from api.schema import Anything, Member

OPENAPI: Final = web.AppKey("openapi", bytes)
"""The document as JSON."""

type Node = dict[str, Any]

_CREATED: Final = 201
_TITLE: Final = "Nova Sonic Server"
_ABOUT: Final = (
    "Orders and appointments, the same records that the assistant's tools work on; connections and sessions; health and configuration. "
    "Every success is {success, data, message}, every error {success, error: {code, message, retryable, ref}, message}."
)
_ERROR: Final[Node] = {
    "title": "Error",
    "type": "object",
    "required": ["success", "error", "message"],
    "additionalProperties": False,
    "properties": {
        "success": {"const": False},
        "message": {"type": "string", "description": "What a person can be told."},
        "error": {
            "type": "object",
            "required": ["code", "message", "retryable", "ref"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string", "description": "Stable; see the reference of errors."},
                "message": {"type": "string"},
                "retryable": {"type": "boolean", "description": "Whether trying again later can help."},
                "ref": {"type": "string", "description": "Under which the server's log has the details."},
            },
        },
    },
}
_OF_BODIES: Final = {
    408: "The body did not come in time",
    413: "The body is over 64 KB",
    415: "The body is not application/json, or it is compressed",
}
_OF_FILES: Final = {
    413: "The body is too large, or more sound than is taken",
    415: "The body is of no type that is taken, or it is compressed",
}
_OF_PRINCIPALS: Final = {
    401: "There is no token, or it is not accepted any more",
    403: "Not the principal's to do, or a page of a foreign origin asks",
    421: "The server answers to the names of this machine only",
    503: "The records, or the keys that tokens are checked with, cannot be reached now",
}


def document(operations: Iterable[Operation], *, version: str, stage: str = "", needs_token: bool = True) -> Node:
    """Return the document.

    Args:
        operations: of the API.
        version: of the server.
        stage: a path under which all is served as well.
        needs_token: whether clients are asked who they are.
    """
    schemas: Node = {}
    paths: Node = {}
    known = sorted(operations, key=lambda one: one.path)
    for one in known:
        node = _operation(one, needs_token=needs_token)
        _link(node, one, known)
        paths.setdefault(one.path, {})[one.method.lower()] = _hoist(node, schemas)
    components: Node = {"schemas": dict(sorted(schemas.items()))}
    if needs_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    servers = [{"url": "/"}, *([{"url": f"/{stage}"}] if stage else [])]
    info = {"title": _TITLE, "version": version, "description": _ABOUT}
    return {"openapi": "3.1.0", "info": info, "servers": servers, "paths": paths, "components": components}


async def get_openapi(request: web.Request) -> web.Response:
    """Tell the document."""
    return web.Response(body=request.app[OPENAPI], content_type="application/json", headers={"Cache-Control": "no-cache"})


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/openapi.json",
        handler=get_openapi,
        summary="This document",
        access=Access.PUBLIC,
        success=Success(description="The document", data=Anything("Document", "OpenAPI 3.1."), shape=Shape.BARE),
    ),
)


def encode(operations: Sequence[Operation], *, version: str, stage: str, needs_token: bool) -> bytes:
    """Return the document as it is served."""
    return orjson.dumps(document(operations, version=version, stage=stage, needs_token=needs_token))


def _operation(one: Operation, *, needs_token: bool) -> Node:
    parameters = [
        _parameter(place, member)
        for place, members in (("path", one.parts), ("query", one.query), ("header", one.headers))
        for member in members
    ]
    found: Node = {"operationId": _id_of(one), "summary": one.summary}
    found |= {"parameters": parameters} if parameters else {}
    if one.body is not None:
        found["requestBody"] = {"required": True, "content": _json(one.body.schema) | _files(one.files)}
    found["responses"] = {str(status): response for status, response in sorted(_responses(one, needs_token=needs_token).items())}
    if needs_token and one.access is not Access.PUBLIC:
        found["security"] = [{"token": []}]
    return found


def _link(node: Node, one: Operation, known: Sequence[Operation]) -> None:
    """Say what can be done with a record that was made (OpenAPI, "links")."""
    if one.success.status == _CREATED:
        parameters = {"id": "$response.body#/data/id"}
        others = {_id_of(other): other for other in known if other.path == f"{one.path}/{{id}}"}
        node["responses"][str(_CREATED)]["links"] = {name: {"operationId": name, "parameters": parameters} for name in others}


def _id_of(one: Operation) -> str:
    first, *others = (one.name or one.handler.__name__).split("_")
    return first + "".join(part.capitalize() for part in others)


def _parameter(place: str, member: Member[Any]) -> Node:
    is_required = member.is_required or place == "path"
    return {"name": member.name, "in": place, "required": is_required, "description": member.doc, "schema": member.kind.schema}


def _responses(one: Operation, *, needs_token: bool) -> dict[int, Node]:
    refusals: dict[int, str] = {} if one.access is Access.PUBLIC else dict(_OF_PRINCIPALS)
    if not needs_token:
        refusals.pop(401, None)
    refusals |= {400: "The request cannot be used: a parameter or a member is unknown, missing or of the wrong form"}
    refusals |= _OF_BODIES if one.body is not None else {}
    refusals |= _OF_FILES if one.files else {}
    refusals |= {404: "There is no such resource"} if one.parts else {}
    refusals |= {422: UnknownCursor.message} if one.success.shape is Shape.PAGE else {}
    refusals |= one.refusals
    responses = {status: _refusal(status, text, one) for status, text in refusals.items()}
    responses[one.success.status] = _success(one.success)
    if one.success.is_versioned and one.method == "GET":
        responses[304] = {"description": "The record is as If-None-Match says", "headers": {"ETag": _header("Version of the record")}}
    return responses


def _refusal(status: int, text: str, one: Operation) -> Node:
    if one.success.shape is Shape.BARE and one.success.data is not None and status in one.refusals:
        return {"description": text, "content": _json(one.success.data.schema)}
    return {"description": text, "content": _json(_ERROR)}


def _success(success: Success) -> Node:
    found: Node = {"description": success.description}
    headers: Node = {"ETag": _header("Version of the record")} if success.is_versioned else {}
    if success.status == _CREATED:
        headers["Location"] = _header("Address of the new record")
    found |= {"headers": headers} if headers else {}
    if success.files:
        return found | {"content": _files(success.files)}
    if success.data is None:
        return found
    if success.shape is Shape.BARE:
        also: Node = {success.also: {"schema": {"type": "string"}}} if success.also else {}
        return found | {"content": {**_json(success.data.schema), **also}}
    members: Node = {"success": {"const": True}, "data": success.data.schema, "message": {"type": "string"}}
    if success.shape is Shape.PAGE:
        members["nextCursor"] = {"type": "string", "description": "For the query parameter cursor; absent on the last page."}
    body = {"type": "object", "required": ["success", "data", "message"], "additionalProperties": False, "properties": members}
    return found | {"content": _json(body)}


def _header(text: str) -> Node:
    return {"description": text, "required": True, "schema": {"type": "string"}}


def _json(schema: Node) -> Node:
    return {"application/json": {"schema": schema}}


def _files(media: Sequence[str]) -> Node:
    """Any bytes (OpenAPI 3.1, "Considerations for File Uploads")."""
    return {one: {} for one in media}


def _hoist(node: Any, schemas: Node) -> Any:
    """Move what has a title to the components, and leave references."""
    if isinstance(node, list):
        return [_hoist(one, schemas) for one in node]
    if not isinstance(node, dict):
        return node
    found = {name: _hoist(one, schemas) for name, one in node.items()}
    title = found.pop("title", None) if isinstance(found.get("title"), str) and "type" in found else None
    if title is None:
        return found
    schemas[title] = found
    return {"$ref": f"#/components/schemas/{title}"}
