"""A stand-in for TF Serving's REST API on the loopback: photos are "classified" by their length.

Knows no TensorFlow. What it is asked, how often it fails and how it answers is the test's.
"""

import base64
import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIGNATURE = {
    "inputs": {"image_bytes": {}},
    "outputs": {"classes": {}, "scores": {}, "valid": {}, "probabilities": {}},
}
CLASSES = ("Bags", "Shoes", "Topwear")


def answer(photo: bytes) -> dict:
    """The row for one photo: its class is its length modulo 3; those starting with x are bad."""
    if photo.startswith(b"x"):
        return {"classes": ["", ""], "scores": [0.0, 0.0], "valid": 0}
    best = len(photo) % 3
    return {
        "classes": [CLASSES[best], CLASSES[(best + 1) % 3]],
        "scores": [0.5 + len(photo) % 50 / 100, 0.01],
        "valid": 1,
    }


class StandIn:
    """The server's state: `batches` are the sizes it was asked; `failures` statuses to come."""

    def __init__(self):
        self.batches: list[int] = []
        self.failures: list[int] = []
        self.cut = 0  # answers to come that break off in the middle
        self.refused_above = 10**9
        self.signature = SIGNATURE
        self.seconds = 0.0  # that an answer takes
        self.gate = threading.Semaphore(10**9)
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.url = ""

    def get(self, path):
        if path != "/v1/models/shop/metadata":
            return 404, {"error": "Could not find any versions of model"}
        signatures = {"serving_default": self.signature}
        return 200, {"metadata": {"signature_def": {"signature_def": signatures}}}

    def post(self, path, body):
        assert path == "/v1/models/shop:predict"
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            if self.failures:
                self.at_once -= 1
                return self.failures.pop(0), {"error": "busy"}
        self.gate.acquire()
        time.sleep(self.seconds)
        photos = [base64.b64decode(each["b64"], validate=True) for each in body["instances"]]
        with self.lock:
            self.at_once -= 1
            self.batches.append(len(photos))
        if len(photos) > self.refused_above:
            return 400, {"error": f"at most {self.refused_above} photos"}
        return 200, {"predictions": [answer(photo) for photo in photos]}


@contextlib.contextmanager
def serving(port=0):
    """Serve; yields a StandIn with its `url`."""
    state = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._reply(*state.get(self.path))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with contextlib.suppress(ConnectionError):  # who asked may be gone by now
                self._reply(*state.post(self.path, json.loads(body)))

        def _reply(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if state.cut and self.command == "POST":
                state.cut -= 1
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
                return
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield state
    finally:
        state.gate.release(10**6)
        server.shutdown()
        server.server_close()
