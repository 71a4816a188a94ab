"""An ASGI application and a listening socket in; the application served until Ctrl-C, out."""

from __future__ import annotations

import os
import signal
import socket

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
