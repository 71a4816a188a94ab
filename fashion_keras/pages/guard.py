"""A request in; refused, or passed on to the page, and no answer without its security headers.

Browsers are the way in: any site that somebody visits can have the browser send requests to this
machine. So a request must name this machine as its host, one that does something must come from
the page itself, and bodies go to the addresses that read them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI application around another one: `app` sees only requests that are harmless.

    Args:
        app: the page.
        takes_bodies: the paths whose POST may have a body.
        any_host: answer by any host name, not the loopback's alone.
    """

    def __init__(self, app: ASGIApp, *, takes_bodies: Collection[str], any_host: bool):
        self._app = app
        self._takes_bodies = takes_bodies
        self._any_host = any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is served here, not {scope['type']}")

        answered = False

        async def send_guarded(message: Message) -> None:
            nonlocal answered
            answered = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if message["status"] >= 400:
                    # Or what is left of the request's body would be read on and on.
                    headers["Connection"] = "close"
            await send(message)

        try:
            await (self._refuse(scope) or self._app)(scope, receive, send_guarded)
        except asyncio.CancelledError:
            # The server ends while a photo arrives or is looked at: no error, so no traceback.
            if not answered:
                closed = PlainTextResponse("The page has been closed.", 503)
                await closed(scope, receive, send_guarded)

    def _refuse(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if not self._any_host and _without_port(host) not in _LOOPBACK_HOSTS:
            # A site's own name may be made to lead to this machine.
            return PlainTextResponse("This page answers to this machine's own name only.", 400)
        if scope["method"] in ("GET", "HEAD"):
            if _has_body(headers):
                return PlainTextResponse("No body is expected here.", 413)
            return None
        origins = headers.getlist("origin")
        foreign = any(origin.lower().partition("://")[2] != host for origin in origins)
        if foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse("Photos and titles are taken from this page only.", 403)
        if scope["path"] not in self._takes_bodies and _has_body(headers):
            return PlainTextResponse("No body is expected here.", 413)
        return None


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


_GRACE = 1  # seconds that answers on their way get, once the server shall end
_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def serve(app, listening: socket.socket) -> None:
    """Serve `app` until SIGINT or SIGTERM; raises `KeyboardInterrupt` at the end of SIGINT.

    Stops serving a second later at most, whoever is connected; the second Ctrl-C ends the process
    at once.
    """
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig, frame):
            if self.should_exit and sig == signal.SIGINT:
                os._exit(_INTERRUPTED)
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,
        # Named, so that the same is served whatever else is installed.
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE,
    )
    try:
        Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        # TensorFlow takes seconds to go: a second Ctrl-C ends those too, without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise
