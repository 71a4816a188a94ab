"""A function from a photo to HTML in; a web page to drop photos on, as an ASGI application, out.

No address of it names a file: a photo is the body of a request and stays in memory, an example is
a number. Nothing is loaded from outside, and a content security policy has the browser refuse it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib.metadata
import queue
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from fashion_keras.data.photo_file import photo_format
from fashion_keras.errors import UserError
from fashion_keras.pages import MAX_BYTES

MAX_HELD = 4 * MAX_BYTES  # bytes of all the photos that are received or wait at one time
_TOO_LARGE = f"This file is larger than {MAX_BYTES // 2**20} MiB."
_CLASSIFY = "/classify"
_SLOWEST = 60  # seconds that a photo may take to arrive
LOOPBACK = ("127.0.0.1", "localhost", "::1")  # hosts that are this machine alone

# A photo's file name and bytes, to HTML.
Answerer = Callable[[str, bytes], str]


def check_server_installed() -> None:
    """Raise `UserError` unless what serves the page is installed."""
    for package in ("starlette", "uvicorn"):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise UserError(
                f"the page needs {package}, which is not installed.\n"
                'Install it: pip install "fashion-keras[demo]"'
            ) from None


def make_app(
    answer: Answerer,
    title: str,
    introduction: str,
    examples: Sequence[Path] = (),
    *,
    any_host: bool = False,
):
    """Return the page as an ASGI application.

    Args:
        answer: called with the name and bytes of each photo, one at a time; returns HTML.
        title: the browser's tab.
        introduction: a paragraph above the drop area.
        examples: photos that can be picked.
        any_host: answer requests by any host name, not the loopback's alone.
    """
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Route

    from fashion_keras.pages.guard import Guard

    style, script = _template("demo.css"), _template("demo.js")
    html = _page(title, introduction, examples)
    inbox, answers = _Inbox(), _Answers(answer)

    async def show_page(request: Request) -> Response:
        return HTMLResponse(html)

    async def show_style(request: Request) -> Response:
        return Response(style, media_type="text/css")

    async def show_script(request: Request) -> Response:
        return Response(script, media_type="text/javascript")

    def show_example(request: Request) -> Response:
        index = request.path_params["index"]
        try:
            photo = examples[index].read_bytes()
            return Response(photo, media_type=f"image/{photo_format(photo)}".lower())
        except (IndexError, OSError):
            return PlainTextResponse("There is no such example.", 404)

    async def classify(request: Request) -> Response:
        async with inbox.photo(request) as photo:
            return HTMLResponse(await answers.of(request.query_params.get("name", ""), photo))

    routes = [
        Route("/", show_page),
        Route("/demo.css", show_style),
        Route("/demo.js", show_script),
        Route("/examples/{index:int}", show_example),
        Route(_CLASSIFY, classify, methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), takes_bodies=_CLASSIFY, any_host=any_host)


class _Inbox:
    """The photos in memory: those that arrive, wait, or are looked at."""

    def __init__(self):
        self._held = 0  # bytes

    @contextlib.asynccontextmanager
    async def photo(self, request) -> AsyncIterator[bytes]:
        """Yield a request's body; end the request where it is too large or too slow."""
        from starlette.exceptions import HTTPException
        from starlette.requests import ClientDisconnect

        data = bytearray()
        try:
            try:
                async with asyncio.timeout(_SLOWEST):
                    async for chunk in request.stream():
                        data += chunk
                        self._held += len(chunk)
                        if len(data) > MAX_BYTES:
                            raise HTTPException(413, _TOO_LARGE)
                        if self._held > MAX_HELD:
                            raise HTTPException(503, "Too many photos at once: try again.")
            except TimeoutError:
                raise HTTPException(408, "This photo took too long to arrive.") from None
            except ClientDisconnect:
                raise HTTPException(400, "The photo's sender is gone.") from None
            yield bytes(data)
        finally:
            self._held -= len(data)


class _Answers:
    """Answers one photo at a time, in a thread that does not keep the process from ending."""

    def __init__(self, answer: Answerer):
        self._answer = answer
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._work, name="answers", daemon=True).start()

    async def of(self, name: str, photo: bytes) -> str:
        """Return the HTML of a photo; raises what the answering function raises."""
        future: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._waiting.put((future, name, photo))
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            future, name, photo = self._waiting.get()
            if future.set_running_or_notify_cancel():  # else: who asked is gone
                try:
                    future.set_result(self._answer(name, photo))
                except Exception as error:
                    future.set_exception(error)


def _page(title: str, introduction: str, examples: Sequence[Path]) -> str:
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        _template("demo.html")
    )
    return page.render(
        title=title,
        introduction=introduction,
        examples=[path.name for path in examples],
        max_bytes=MAX_BYTES,
        too_large=_TOO_LARGE,
    )


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(f"templates/{name}").read_text("utf-8")
