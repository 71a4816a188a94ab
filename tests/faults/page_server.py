"""Serves the demo's page with a made-up answer, for the tests that attack it.

The answer is the photo's name, and its bytes' number and SHA-256; behind them the title's, where
there is one. A name that begins with `slow` takes a minute.
"""

import hashlib
import socket
import sys
import time
from pathlib import Path

from fashion_keras.commands import run_command
from fashion_keras.pages.app import make_app, serve


def answer(name: str, data: bytes | None, title: str) -> str:
    if name.startswith("slow"):
        time.sleep(60)
    told = [name] if data is None else [name, _told(data)]
    return f"<p>{' '.join([*told, _told(title.encode())] if title else told)}</p>"


def _told(data: bytes) -> str:
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}"


def main(argv) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        page = make_app(answer, "a tab's title", "An introduction.", [Path(argv[0])], titles=True)
        serve(page, listening)


if __name__ == "__main__":
    import signal

    # A shell's background job inherits an ignored SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run_command(main, sys.argv[1:]))
