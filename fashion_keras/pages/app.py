"""A function from a product to HTML in; a web page to drop photos on, as an ASGI app, out.

No address of it names a file: a photo is the body of a request and stays in memory, an example is
a number. A title is sent as the first bytes of the photo's body, and the header `Title-Bytes` says
how many they are: headers and addresses are too short for it, and other sites may not send that
header. Nothing is loaded from outside, and a content security policy has the browser refuse it.

Browsers are the way in: any site that somebody visits can have the browser send requests to this
machine. So a request must name this machine as its host, one that does something must come from
the page itself, and bodies go to the addresses that read them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import os
import queue
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from importlib import resources
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fashion_keras.data.photo import photo_format
from fashion_keras.pages import MAX_BYTES
from fashion_keras.text import templates

MAX_HELD = 4 * MAX_BYTES  # bytes of all the photos that are received or wait at one time
_MAX_TITLE = 64 * 2**10  # bytes of a title
_FIELD_LENGTH = 16_000  # UTF-16 units that its field holds: three bytes each at most
_TOO_LARGE = f"This file is larger than {MAX_BYTES // 2**20} MiB."
_TITLE_TOO_LONG = f"This title is longer than {_MAX_TITLE // 2**10} KiB."
_CLASSIFY, _TITLE = "/classify", "/classify-title"
_SLOWEST = 60  # seconds that a photo or title may take to arrive
_GRACE = 1  # seconds that answers on their way get, once the server shall end
_INTERRUPTED = 130  # 128 + SIGINT, as shells count
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

# A photo's file name and bytes, None for a title alone, and a title, "" for none, to HTML.
Answerer = Callable[[str, bytes | None, str], str]


def make_app(
    answer: Answerer,
    title: str,
    introduction: str,
    examples: Sequence[Path] = (),
    *,
    titles: bool = False,
    any_host: bool = False,
):
    """Return the page as an ASGI application.

    Args:
        answer: called with each photo's name, bytes and title, one at a time; returns HTML.
        title: the browser's tab.
        introduction: a paragraph above the drop area.
        examples: photos that can be picked.
        titles: photos may have a title, and a title may come alone.
        any_host: answer requests by any host name, not the loopback's alone.
    """
    inbox, answers = _Inbox(), _Answers(answer)

    async def classify(request: Request) -> Response:
        length = _title_bytes(request.headers.get("title-bytes", "0"), titles)
        async with inbox.body(request, MAX_BYTES + length, _TOO_LARGE) as body:
            if length > len(body):
                raise HTTPException(400, "The photo's title is cut off.")
            name, title = request.query_params.get("name", ""), body[:length]
            return HTMLResponse(await answers.of(name, body[length:], _text(title)))

    async def classify_title(request: Request) -> Response:
        async with inbox.body(request, _MAX_TITLE, _TITLE_TOO_LONG) as title:
            return HTMLResponse(await answers.of("", None, _text(title)))

    asked = {_CLASSIFY: classify, _TITLE: classify_title} if titles else {_CLASSIFY: classify}
    routes = _shown(_page(title, introduction, examples, titles), examples)
    routes += [Route(path, reply, methods=["POST"]) for path, reply in asked.items()]
    return _Guard(Starlette(routes=routes), takes_bodies=asked, any_host=any_host)


def _shown(html: str, examples: Sequence[Path]) -> list:
    """Return the routes of the page, its style and script, and its examples."""

    def showing(text: str, kind: str):
        async def show(request: Request) -> Response:
            return Response(text, media_type=kind)

        return show

    def show_example(request: Request) -> Response:
        index = request.path_params["index"]
        try:
            photo = examples[index].read_bytes()
            return Response(photo, media_type=f"image/{photo_format(photo)}".lower())
        except (IndexError, OSError):
            return PlainTextResponse("There is no such example.", 404)

    return [
        Route("/", showing(html, "text/html")),
        Route("/demo.css", showing(_template("demo.css"), "text/css")),
        Route("/demo.js", showing(_template("demo.js"), "text/javascript")),
        Route("/examples/{index:int}", show_example),
    ]


def _title_bytes(header: str, titles: bool) -> int:
    """Return how many bytes of a photo's body are its title; end the request where that is odd."""
    if header == "0":
        return 0
    if not titles:
        raise HTTPException(400, "This model takes no titles.")
    if not (header.isascii() and header.isdigit()):
        raise HTTPException(400, "Title-Bytes is no number.")
    if len(header) > len(str(_MAX_TITLE)) or int(header) > _MAX_TITLE:
        raise HTTPException(413, _TITLE_TOO_LONG)
    return int(header)


def _text(title: bytes) -> str:
    return title.decode("utf-8", "replace")


class _Inbox:
    """The photos and titles in memory: those that arrive, wait, or are looked at."""

    def __init__(self):
        self._held = 0  # bytes

    @contextlib.asynccontextmanager
    async def body(self, request, most: int, too_large: str) -> AsyncIterator[bytes]:
        """Yield a request's body; end the request where it is over `most` bytes or too slow."""
        data = bytearray()
        try:
            try:
                async with asyncio.timeout(_SLOWEST):
                    async for chunk in request.stream():
                        data += chunk
                        self._held += len(chunk)
                        if len(data) > most:
                            raise HTTPException(413, too_large)
                        if self._held > MAX_HELD:
                            raise HTTPException(503, "Too many photos at once: try again.")
            except TimeoutError:
                raise HTTPException(408, "It took too long to arrive.") from None
            except ClientDisconnect:
                raise HTTPException(400, "The sender is gone.") from None
            yield bytes(data)
        finally:
            self._held -= len(data)


class _Answers:
    """Answers one product at a time, in a thread that does not keep the process from ending."""

    def __init__(self, answer: Answerer):
        self._answer = answer
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._work, name="answers", daemon=True).start()

    async def of(self, name: str, photo: bytes | None, title: str) -> str:
        """Return the HTML of a product; raises what the answering function raises."""
        future: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._waiting.put((future, (name, photo, title)))
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            future, product = self._waiting.get()
            if future.set_running_or_notify_cancel():  # else: who asked is gone
                try:
                    future.set_result(self._answer(*product))
                except Exception as error:
                    future.set_exception(error)


def _page(title: str, introduction: str, examples: Sequence[Path], titles: bool) -> str:
    pages = templates(__package__, trim_blocks=False, lstrip_blocks=False)
    return pages.get_template("demo.html").render(
        title=title,
        introduction=introduction,
        examples=[path.name for path in examples],
        field_length=_FIELD_LENGTH if titles else 0,
        max_bytes=MAX_BYTES,
        too_large=_TOO_LARGE,
    )


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(f"templates/{name}").read_text("utf-8")


@dataclasses.dataclass(frozen=True)
class _Guard:
    """An ASGI application around another one: `app` sees only requests that are harmless.

    Args:
        app: the page.
        takes_bodies: the paths whose POST may have a body.
        any_host: answer by any host name, not the loopback's alone.
    """

    app: ASGIApp
    takes_bodies: Collection[str]
    any_host: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
            await (self._refuse(scope) or self.app)(scope, receive, send_guarded)
        except asyncio.CancelledError:
            # The server ends while a photo arrives or is looked at: no error, so no traceback.
            if not answered:
                closed = PlainTextResponse("The page has been closed.", 503)
                await closed(scope, receive, send_guarded)

    def _refuse(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if not self.any_host and _without_port(host) not in _LOOPBACK_HOSTS:
            # A site's own name may be made to lead to this machine.
            return PlainTextResponse("This page answers to this machine's own name only.", 400)
        does = scope["method"] not in ("GET", "HEAD")
        site = headers.get("sec-fetch-site", "same-origin")
        origins = [origin.lower().partition("://")[2] for origin in headers.getlist("origin")]
        if does and (any(name != host for name in origins) or site not in ("same-origin", "none")):
            return PlainTextResponse("Photos and titles are taken from this page only.", 403)
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if has_body and not (does and scope["path"] in self.takes_bodies):
            return PlainTextResponse("No body is expected here.", 413)
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def serve(app, listening: socket.socket) -> None:
    """Serve `app` until SIGINT or SIGTERM; raises `KeyboardInterrupt` at the end of SIGINT.

    Stops serving a second later at most, whoever is connected; the second Ctrl-C ends the process
    at once.
    """

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
