"""A real S3 server on the loopback, and a proxy before it that loses, cuts and refuses answers."""

import contextlib
import http.client
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import s3fs
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}


_OF_A_HOP = ("content-length", "transfer-encoding", "connection", "expect")


def _body_of(request):
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


class _Place(contextlib.AbstractContextManager):
    port: int

    def environment(self):
        """What a process needs to know to talk to it."""
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", **KEYS}

    def point_here(self, set_variable):
        for name, value in self.environment().items():
            set_variable(name, value)
        s3fs.S3FileSystem.clear_instance_cache()


class S3(_Place):
    """moto's server, in a thread."""

    def __init__(self):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def __exit__(self, *exception):
        self._server.stop()

    def with_bucket(self, name):
        """Return what reads and writes the server's files, with an empty bucket."""
        files = s3fs.S3FileSystem(endpoint_url=f"http://127.0.0.1:{self.port}", key="a", secret="b")
        if files.exists(name):
            files.rm(name, recursive=True)
        files.mkdir(name)
        return files


class Faults(_Place):
    """A proxy: `fault(method, path)` says what goes wrong with a request, None or "" for nothing.

    "503", "403" or another status is answered so; "silence" lets the reader wait; "cut" ends a
    body in its middle; "short" gives half a body and says that this is all; "bent" changes a byte.
    `seen` are the requests that came.
    """

    def __init__(self, port):
        self.fault = lambda method, path: None
        self.seen = []
        self._over = threading.Event()
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # asks for a body that waits to be asked for

            def log_message(self, *args):
                pass

            def _answer(self):
                between.answer(self, port)
                self.close_connection = True

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __exit__(self, *exception):
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request, port):
        body = _body_of(request)
        self.seen.append((request.command, request.path))
        fault = self.fault(request.command, request.path) or ""
        if fault == "silence":
            self._over.wait(20)
            return
        if fault.isdigit():
            code = {"503": "SlowDown", "403": "AccessDenied"}.get(fault, "InternalError")
            request.send_response(int(fault))
            answer = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
            request.send_header("Content-Length", str(len(answer)))
            request.end_headers()
            if request.command != "HEAD":
                request.wfile.write(answer)
            return
        behind = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _OF_A_HOP}
        behind.request(request.command, request.path, body, headers)
        found = behind.getresponse()
        answer = found.read()
        behind.close()
        whole = len(answer)
        if fault == "bent":
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        if fault in ("cut", "short"):
            answer = answer[: whole // 2]
        request.send_response(found.status)
        length = len(answer) if fault == "short" else whole
        for name, value in found.getheaders():
            # Whoever bends the bytes on their way does not tell of it.
            if name.lower() not in _OF_A_HOP and not (
                fault and name.lower().startswith("x-amz-checksum")
            ):
                request.send_header(name, value)
        if request.command == "HEAD":
            length = found.getheader("Content-Length", 0)
        request.send_header("Content-Length", str(length))
        request.send_header("Connection", "close")
        request.end_headers()
        if request.command != "HEAD":
            with contextlib.suppress(OSError):
                request.wfile.write(answer)


class Times:
    """Says a fault for the first so many requests that `of` is true of."""

    def __init__(self, fault, times, of):
        self._fault, self._left, self._of = fault, times, of
        self._lock = threading.Lock()

    def __call__(self, method, path):
        with self._lock:
            if self._left and self._of(method, path):
                self._left -= 1
                return self._fault
        return None
