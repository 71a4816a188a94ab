"""A function from a product to HTML in; a web page to drop photos on, as an ASGI app, out.

No address of it names a file: a photo is the body of a request and stays in memory, an example is
a number. A title is sent as the first bytes of the photo's body, and the header `Title-Bytes` says
how many they are: headers and addresses are too short for it, and other sites may not send that
header. Nothing is loaded from outside, and a content security policy has the browser refuse it.
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
_MAX_TITLE = 64 * 2**10  # bytes of a title
_FIELD_LENGTH = 16_000  # UTF-16 units that its field holds: three bytes each at most
_TOO_LARGE = f"This file is larger than {MAX_BYTES // 2**20} MiB."
_TITLE_TOO_LONG = f"This title is longer than {_MAX_TITLE // 2**10} KiB."
_CLASSIFY, _TITLE = "/classify", "/classify-title"
_SLOWEST = 60  # seconds that a photo or title may take to arrive
LOOPBACK = ("127.0.0.1", "localhost", "::1")  # hosts that are this machine alone

# A photo's file name and bytes, None for a title alone, and a title, "" for none, to HTML.
Answerer = Callable[[str, bytes | None, str], str]


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
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    from fashion_keras.pages.guard import Guard

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
    return Guard(Starlette(routes=routes), takes_bodies=asked, any_host=any_host)


def _shown(html: str, examples: Sequence[Path]) -> list:
    """Return the routes of the page, its style and script, and its examples."""
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Route

    style, script = _template("demo.css"), _template("demo.js")

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

    return [
        Route("/", show_page),
        Route("/demo.css", show_style),
        Route("/demo.js", show_script),
        Route("/examples/{index:int}", show_example),
    ]


def _title_bytes(header: str, titles: bool) -> int:
    """Return how many bytes of a photo's body are its title; end the request where that is odd."""
    from starlette.exceptions import HTTPException

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
        from starlette.exceptions import HTTPException
        from starlette.requests import ClientDisconnect

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
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        _template("demo.html")
    )
    return page.render(
        title=title,
        introduction=introduction,
        examples=[path.name for path in examples],
        field_length=_FIELD_LENGTH if titles else 0,
        max_bytes=MAX_BYTES,
        too_large=_TOO_LARGE,
    )


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(f"templates/{name}").read_text("utf-8")
