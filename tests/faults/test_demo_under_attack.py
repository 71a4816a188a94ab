"""The demo's page attacked over the network: paths, bodies, hosts, origins, and its end.

Real requests to a real server in a process of its own, without TensorFlow.
"""

import asyncio
import contextlib
import hashlib
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="needs the extra [demo]")
pytest.importorskip("uvicorn", reason="needs the extra [demo]")

from fashion_keras.pages import MAX_BYTES, app
from fashion_keras.pages.app import MAX_HELD

pytestmark = pytest.mark.faults
PATIENCE = 30  # seconds: the machine may be busy
SECRET = "nobody uploaded this"


@contextlib.contextmanager
def started(example):
    """A server in a process of its own, and its port."""
    repository = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("page_server.py")), str(example)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository), "TMPDIR": str(example.parent)},
    )
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    Image.new("RGB", (60, 80), "green").save(folder / "example.png")
    (folder / "secret.txt").write_text(SECRET)
    return folder


@pytest.fixture(scope="module")
def port(folder):
    with started(folder / "example.png") as (process, port):
        yield port
        assert process.poll() is None, process.communicate()[1]


def ask(port, method, path, body=None, headers=None):
    """Return the status, headers and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode("utf-8", "replace")
    finally:
        connection.close()


def send(port, head, parts=()):
    """Send raw bytes, then `parts` until the server closes; return all that it sends."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(head)
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                received += part
    return received


def is_well(port):
    """Whether a photo is still answered, the same as before."""
    status, _, text = ask(port, "POST", "/classify?name=well.png", b"a photo")
    digest = hashlib.sha256(b"a photo").hexdigest()
    return status == 200 and text == f"<p>well.png 7 {digest}</p>"


def test_a_photo_is_answered_and_the_answer_depends_on_its_bytes(port):
    assert is_well(port)


PLACES = (
    "/etc/passwd",
    "/dev/zero",
    "file:///etc/passwd",
    "../../../../etc/passwd",
    "SECRET",
    "http://127.0.0.1:PORT/examples/0",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "address",
    [
        "/PLACE",
        "/PLACE?download=1",
        "/file=PLACE",
        "/file/PLACE",
        "/examples/PLACE",
        "/examples/0/../PLACE",
        "/static/PLACE",
        "/demo.css/PLACE",
        "/proxy=PLACE",
        "/gradio_api/file=PLACE",
        "/gradio_api/proxy=PLACE",
        "/%2e%2e/%2e%2e/PLACE",
        "//PLACE",
    ],
)
def test_no_address_leads_to_a_file(port, folder, address, place):
    place = place.replace("SECRET", str(folder / "secret.txt")).replace("PORT", str(port))
    status, _, text = ask(port, "GET", address.replace("PLACE", place))
    assert status == 404
    assert SECRET not in text and "root:" not in text


@pytest.mark.parametrize("place", PLACES)
def test_a_path_in_place_of_a_photo_is_a_photos_bytes(port, folder, place):
    place = place.replace("SECRET", str(folder / "secret.txt")).replace("PORT", str(port))
    body = place.encode()
    status, _, text = ask(port, "POST", f"/classify?name={place}&path={place}", body)
    assert status == 200
    assert f" {len(body)} {hashlib.sha256(body).hexdigest()}" in text


@pytest.mark.parametrize(
    "address",
    [
        "/upload",
        "/gradio_api/upload",
        "/gradio_api/run/predict",
        "/gradio_api/call/answer_dropped",
        "/gradio_api/queue/join",
        "/queue/join",
        "/api/predict",
    ],
)
def test_there_is_no_other_place_to_send_anything(port, folder, address):
    before = sorted(folder.rglob("*"))
    body = b'{"data": [[{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]]}'
    status, _, text = ask(port, "POST", address, body, {"Content-Type": "application/json"})
    assert status == 413 and "root:" not in text
    assert ask(port, "POST", address)[0] == 404
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("index", ["1", "-1", "99999999999999999999999", "0x0", "%00", "0.0"])
def test_only_the_examples_are_numbered(port, index):
    assert ask(port, "GET", "/examples/0")[0] == 200
    assert ask(port, "GET", f"/examples/{index}")[0] == 404


def test_the_page_names_no_folder_of_the_server(port, folder):
    text = ask(port, "GET", "/")[2]
    assert "example.png" in text
    assert str(folder) not in text and str(folder.parent) not in text


def endless():
    while True:
        yield b"10000\r\n" + bytes(65536) + b"\r\n"


@pytest.mark.parametrize(
    "line",
    ["POST /classify?name=a", "POST /", "GET /", "PUT /classify", "POST /nowhere", "DELETE /"],
)
def test_a_body_without_an_end_is_cut(port, line):
    head = f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = send(port, head.encode(), endless())
    assert received == b"" or received.startswith((b"HTTP/1.1 413", b"HTTP/1.1 405"))
    assert is_well(port)


def test_a_body_is_taken_up_to_the_limit_and_not_a_byte_further(port):
    status, _, text = ask(port, "POST", "/classify?name=a", bytes(MAX_BYTES))
    assert status == 200 and f" {MAX_BYTES} " in text

    def parts():
        yield bytes(MAX_BYTES)
        yield b"x"

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", "/classify?name=a", parts(), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "5, 6"])
def test_a_length_that_is_none_is_refused(port, length):
    head = f"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\nhello"
    assert send(port, head.encode()).startswith(b"HTTP/1.1 400")
    assert is_well(port)


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: shop.example\r\n\r\n",
    ],
    ids=["tls", "half a line", "long header", "long address", "no host", "two hosts"],
)
def test_what_is_no_request_is_refused(port, junk):
    received = send(port, junk)
    assert received == b"" or received.startswith(b"HTTP/1.1 400")
    assert is_well(port)


def test_slow_senders_hold_up_nobody(port):
    slow = []
    head = b"POST /classify?name=a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx"
    try:
        for _ in range(50):
            slow.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            slow[-1].sendall(head)
        assert is_well(port)
    finally:
        for connection in slow:
            connection.close()
    assert is_well(port)


def test_many_large_photos_at_once_do_not_fill_the_memory(port):
    head = f"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {MAX_BYTES}\r\n\r\n"
    senders = []
    try:
        for _ in range(MAX_HELD // MAX_BYTES + 1):
            senders.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            senders[-1].sendall(head.encode())
            with contextlib.suppress(ConnectionError):
                senders[-1].sendall(bytes(MAX_BYTES - 1))
        # None is complete, so what can be read is the refusal of the one that was too much.
        answered, _, _ = select.select(senders, [], [], PATIENCE)
        assert len(answered) == 1
    finally:
        for sender in senders:
            sender.close()
    deadline = time.monotonic() + PATIENCE
    while not is_well(port):
        assert time.monotonic() < deadline


TITLED = "Red shirt <b>&amp; 👗 قميص".encode()


def told(*parts):
    return " ".join(f"{len(part)} {hashlib.sha256(part).hexdigest()}" for part in parts)


def titled(title, photo=b"a photo", length=None):
    """A request of a photo with its title before it."""
    return title + photo, {"Title-Bytes": str(len(title) if length is None else length)}


@pytest.mark.parametrize(
    "title",
    [
        TITLED,
        "👗".encode() * 10_000,
        b"x" * 65_536,
        "\u202eABC\u2066".encode(),
        b"\r\nX: y\0\r\n\r\n",
    ],
    ids=["marks", "emoji", "longest", "turned around", "lines"],
)
def test_a_title_goes_with_its_photo_and_alone(port, title):
    status, _, text = ask(port, "POST", "/classify?name=a", *titled(title))
    assert (status, text) == (200, f"<p>a {told(b'a photo', title)}</p>")
    status, _, text = ask(port, "POST", "/classify-title", title)
    assert (status, text) == (200, f"<p> {told(title)}</p>")


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("-1", 400),
        ("1e3", 400),
        ("²", 400),
        ("", 400),
        ("8", 400),
        ("65537", 413),
        ("9" * 9000, 413),
    ],
)
def test_a_titles_length_that_cannot_be_is_refused(port, length, status):
    head = {"Title-Bytes": length.encode("latin-1")}
    assert ask(port, "POST", "/classify?name=a", b"a photo", head)[0] == status
    assert is_well(port)


def test_a_title_that_is_too_long_is_refused_alone_too(port):
    status, _, text = ask(port, "POST", "/classify-title", bytes(65_537))
    assert status == 413 and "64 KiB" in text
    head = b"POST /classify-title HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = send(port, head, endless())
    assert received == b"" or received.startswith(b"HTTP/1.1 413")
    assert is_well(port)


def test_a_title_makes_room_for_no_larger_a_photo(port):
    body, head = titled(b"x" * 1000, bytes(MAX_BYTES))
    status, _, text = ask(port, "POST", "/classify?name=a", body, head)
    assert status == 200 and f" {MAX_BYTES} " in text
    assert ask(port, "POST", "/classify?name=a", body + b"x", head)[0] == 413


def test_half_a_character_and_bytes_that_are_no_text_are_a_title(port):
    cut = TITLED[:-1]
    status, _, text = ask(port, "POST", "/classify?name=a", *titled(cut))
    assert status == 200 and told(b"a photo", cut.decode("utf-8", "replace").encode()) in text
    assert ask(port, "POST", "/classify-title", b"\xff\xfe\0")[0] == 200


def test_a_model_of_photos_alone_is_sent_no_title():
    page = app.make_app(lambda *product: "never", "a tab's title", "An introduction.")

    def status(path, *headers):
        sent = []
        body = [{"type": "http.request", "body": b"Shirt", "more_body": False}]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b""}
        scope["headers"] = [(b"host", b"127.0.0.1"), (b"content-length", b"5"), *headers]

        async def pop():
            return body.pop()

        async def keep(message):
            sent.append(message)

        asyncio.run(page(scope, pop, keep))
        return sent[0]["status"]

    assert status("/classify", (b"title-bytes", b"5")) == 400
    assert status("/classify-title") == 413


@pytest.mark.parametrize("host", ["shop.example", "127.0.0.1.shop.example", "localhost.", "[::2]"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("POST", "/classify"), ("POST", "/classify-title")]
)
def test_a_site_cannot_ask_by_a_name_of_its_own(port, method, path, host):
    assert ask(port, method, path, headers={"Host": f"{host}:{port}"})[0] == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_this_machines_own_names_are_answered(port, host):
    assert ask(port, "GET", "/", headers={"Host": f"{host}:{port}"})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://shop.example"},
        {"Origin": "https://127.0.0.1.shop.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_another_sites_page_cannot_send_a_photo(port, headers):
    for path in ("/classify?name=a", "/classify-title"):
        status, _, text = ask(port, "POST", path, b"a photo", headers)
        assert status == 403
        assert "<p>" not in text


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_page_itself_can_send_a_photo(port, site):
    headers = {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": site}
    assert ask(port, "POST", "/classify?name=a", b"a photo", headers)[0] == 200


def test_no_other_site_may_read_an_answer(port):
    preflight = {"Origin": "http://shop.example", "Access-Control-Request-Method": "POST"}
    preflight["Access-Control-Request-Headers"] = "title-bytes"
    for method, path in (("GET", "/"), ("OPTIONS", "/classify"), ("GET", "/examples/0")):
        _, headers, _ = ask(port, method, path, headers=preflight)
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/demo.js", "/demo.css", "/examples/0", "/nowhere"])
def test_every_answer_has_the_policy_that_forbids_the_rest(port, path):
    _, headers, _ = ask(port, "GET", path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_websocket_is_not_opened(port):
    head = (
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b"HTTP/1.1 101" not in send(port, head.encode())
    assert is_well(port)


def open_pages(port):
    """Connections as a server meets them: idle, amid a request, amid a photo, at a long answer."""
    for sent in (
        b"",
        b"GET / HTTP/1.1\r\nHost: 127",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nx",
        b"POST /classify?name=slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx",
        b"POST /classify?name=slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx",
    ):
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        connection.sendall(sent)
        yield connection


def test_it_ends_on_ctrl_c_while_pages_are_open_and_answers_on_their_way(folder):
    with started(folder / "example.png") as (process, port):
        pages = list(open_pages(port))
        assert pages[2].recv(15).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        # Long before the slow answer is there.
        _, errors = process.communicate(timeout=PATIENCE)
        for opened in pages:
            opened.close()
    assert process.returncode == 130
    assert "Traceback" not in errors and "interrupted" in errors


def test_the_second_ctrl_c_ends_it_at_once(folder):
    with started(folder / "example.png") as (process, port):
        pages = list(open_pages(port))
        assert pages[2].recv(15).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
        for opened in pages:
            opened.close()
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_senders_that_go_away_leave_no_trace_on_the_screen(folder):
    with started(folder / "example.png") as (process, port):
        for opened in open_pages(port):
            opened.close()
        # The photos wait behind a slow one, and the page itself is shown all the same.
        assert ask(port, "GET", "/")[0] == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in errors


def test_a_photo_that_never_arrives_is_given_up(monkeypatch):
    monkeypatch.setattr(app, "_SLOWEST", 0.01)
    page = app.make_app(lambda *product: "never", "a tab's title", "An introduction.")
    head = {"type": "http", "method": "POST", "path": "/classify", "query_string": b""}
    sent = []

    async def never():
        await asyncio.Event().wait()

    async def keep(message):
        sent.append(message)

    asyncio.run(page({**head, "headers": [(b"host", b"127.0.0.1")]}, never, keep))
    assert sent[0]["status"] == 408
