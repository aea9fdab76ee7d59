"""The fake on a real socket.

ASGI has no way to cut a connection. `CuttableProtocol`, for uvicorn, hands the application the
means in the scope: a function that aborts the transport. It builds on nothing of uvicorn but the
protocol's `app` and `connection_made`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from json import JSONDecodeError
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ocrlabel.errors import ConfigError
from ocrlabel.fake.service import Ending, Received, Reply, Service

HOST = "127.0.0.1"
PATH: Final = "/v1/document-digitization"
_ABORT: Final = "ocrlabel.abort"


def server_of(service: Service) -> uvicorn.Server:
    """uvicorn, quiet, with connections that stay open longer than any client keeps them."""
    return uvicorn.Server(
        uvicorn.Config(
            application(service),
            http=CuttableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )
    )


def listening(port: int) -> socket.socket:
    """A socket that takes connections from now on; 0 is any free port. Raises ConfigError."""
    # The protocol is spelt out because asyncio switches Nagle's algorithm off only where it is:
    # without, every answer waits 40 ms for an acknowledgement.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError as error:
        sock.close()
        raise ConfigError(f"port {port} cannot be had ({error.strerror}): give --port") from error
    sock.listen(1024)
    return sock


def application(service: Service) -> Starlette:
    """POST /v1/document-digitization, GET /stats, POST /control."""

    async def digitize(request: Request) -> Response:
        try:
            whole = await received(request)
        except ClientDisconnect:
            return Response()  # it never came as a whole, and nobody waits for an answer
        reply = await service.digitize(whole)
        return _Answer(reply, lambda: service.left(reply))

    async def stats(_: Request) -> Response:
        return JSONResponse(service.stats())

    async def control(request: Request) -> Response:
        try:
            changes = await request.json()
            if not isinstance(changes, dict):
                raise HTTPException(400, "send one JSON object")
            service.control(changes)
        except (JSONDecodeError, ConfigError) as error:
            raise HTTPException(400, str(error)) from error
        return JSONResponse({})

    async def refused(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return _Answer(service.error(status, str(getattr(error, "detail", error))), lambda: None)

    return Starlette(
        routes=[
            Route(PATH, digitize, methods=["POST"]),
            Route("/stats", stats),
            Route("/control", control, methods=["POST"]),
        ],
        exception_handlers={HTTPException: refused},
    )


class CuttableProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, whose applications may abort the connection they answer on."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Wrap the application for this connection."""
        super().connection_made(transport)
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await inner({**scope, _ABORT: transport.abort}, receive, send)

        self.app = app


class _Answer(Response):
    """Puts a Reply on the wire, as far as it goes."""

    def __init__(self, reply: Reply, left: Callable[[], None]) -> None:
        super().__init__(
            reply.body,
            reply.status or 200,
            headers=dict(reply.headers),
            media_type=reply.content_type,
        )
        self._reply = reply
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._reply.ending is Ending.WHOLE:
            await super().__call__(scope, receive, send)
            return
        if self._reply.ending is Ending.CUT:
            if self._reply.body:
                await self._send_half(send)
            scope[_ABORT]()
        # either it was just cut, or it hangs until the client has had enough
        while (await receive())["type"] != "http.disconnect":
            pass
        self._left()

    async def _send_half(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        half = self._reply.body[: len(self._reply.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


async def received(request: Request) -> Received:
    """The parts of a request that the service looks at."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    async with request.form() as form:
        document, model, schema = (form.get(name) for name in ("document", "model", "schema"))
        return Received(
            key=key if scheme.lower() == "bearer" else None,
            model=await _text(model),
            document=await document.read() if isinstance(document, UploadFile) else None,
            schema=await _text(schema),
        )


async def _text(part: UploadFile | str | None) -> str | None:
    """A field may come as a part with or without a file name; both are in official samples."""
    if isinstance(part, UploadFile):
        return (await part.read()).decode("utf-8", "replace")
    return part
