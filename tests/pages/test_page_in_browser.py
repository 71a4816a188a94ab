"""The page in headless Chromium: uploads, paste, keyboard, a phone's width, and no network.

Skips without the extra [demo], Selenium, or Chromium with its driver.
"""

import contextlib
import functools
import http.server
import json
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="needs the extra [demo]")
pytest.importorskip("uvicorn", reason="needs the extra [demo]")
webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")

from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from fashion_keras.pages.app import make_app  # noqa: E402

ASKED = []  # names of the photos that the page's server was asked about
TITLES = []  # and the titles that came with them
PATIENCE = 60  # seconds: the machine may be busy
FILE_INPUT = "#drop input[type=file]"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, colour in (("red", "red"), ("green", "green"), ("blue", "blue")):
        Image.new("RGB", (60, 80), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def address(photos):
    """The address of a page that answers with a file's name and size."""
    import uvicorn

    def answer(name, data, title):
        ASKED.append(name)
        TITLES.append(title)
        return f"<p class='told'>{'title' if data is None else f'{name} {len(data)}'}</p>"

    examples = [photos / "green.png"] + [photos / "blue.png"] * 9
    app = make_app(answer, "a tab's title", "An introduction.", examples, titles=True)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    driver_path, browser = shutil.which("chromedriver"), shutil.which("chromium")
    if not driver_path or not browser:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    profile = tmp_path_factory.mktemp("profile")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        # Names lead nowhere: what is loaded from outside is missing, as on a plane.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_path))
    driver.set_page_load_timeout(PATIENCE)
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium, address):
    chromium.set_window_size(1280, 1000)
    chromium.get(address)
    wait(chromium, lambda d: d.find_elements(By.CSS_SELECTOR, FILE_INPUT))
    return chromium


def wait(driver, condition):
    return WebDriverWait(driver, PATIENCE, 0.2).until(condition)


def told(driver, *names):
    """Wait until the page's answer is about these files."""

    def about_them(driver):
        with contextlib.suppress(Exception):  # replaced while it was looked at
            rows = driver.find_elements(By.CSS_SELECTOR, ".told")
            return [row.text.split()[0] for row in rows] == list(names)

    wait(driver, about_them)


def test_an_uploaded_photo_is_answered_and_the_next_one_too(page, photos):
    page.find_element(By.CSS_SELECTOR, FILE_INPUT).send_keys(str(photos / "red.png"))
    told(page, "red.png")
    wait(page, lambda d: d.find_elements(By.CSS_SELECTOR, FILE_INPUT))
    both = f"{photos / 'blue.png'}\n{photos / 'green.png'}"
    page.find_element(By.CSS_SELECTOR, FILE_INPUT).send_keys(both)
    told(page, "blue.png", "green.png")


def test_a_pasted_photo_is_answered(page):
    page.execute_script(
        """
        const photo = new File([new Uint8Array([1, 2, 3])], "pasted.png", {type: "image/png"});
        const data = new DataTransfer();
        data.items.add(photo);
        document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        """
    )
    told(page, "pasted.png")


def test_dropped_photos_are_answered_in_their_order(page):
    page.execute_script(
        """
        const data = new DataTransfer();
        for (const name of ["b.png", "a <b>.png"]) data.items.add(new File(["x"], name));
        const event = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
        document.querySelector("#drop").dispatchEvent(event);
        """
    )
    told(page, "b.png", "a")
    assert ASKED[-2:] == ["b.png", "a <b>.png"]


def type_title(page, title):
    page.execute_script("document.querySelector('#text').value = arguments[0]", title)


HARD = "Red <b>shirt</b> & 👗 قميص " + "x" * 10_000


def test_the_title_goes_with_each_photo_that_is_chosen(page, photos):
    type_title(page, f" {HARD} ")
    both = f"{photos / 'blue.png'}\n{photos / 'green.png'}"
    page.find_element(By.CSS_SELECTOR, FILE_INPUT).send_keys(both)
    told(page, "blue.png", "green.png")
    assert TITLES[-2:] == [HARD] * 2
    sizes = [row.text.split()[1] for row in page.find_elements(By.CSS_SELECTOR, ".told")]
    assert sizes == [str((photos / f"{name}.png").stat().st_size) for name in ("blue", "green")]
    assert page.execute_script("return document.documentElement.scrollWidth") <= 1280


def test_a_title_is_asked_about_alone_by_button_and_by_enter(page):
    for end in ("button", "enter"):
        type_title(page, "")
        field = page.find_element(By.ID, "text")
        field.send_keys(f"Blue shoes by {end}")
        if end == "button":
            page.find_element(By.CSS_SELECTOR, "#title button").click()
        else:
            field.send_keys(Keys.ENTER)
        wait(page, lambda d, end=end: TITLES and TITLES[-1] == f"Blue shoes by {end}")
        told(page, "title")
    assert ASKED[-2:] == ["", ""]


def test_an_empty_title_is_not_asked_about(page):
    sent = len(ASKED)
    type_title(page, "   ")
    page.find_element(By.CSS_SELECTOR, "#title button").click()
    assert page.execute_script("return document.activeElement.id") == "text"
    assert len(ASKED) == sent


def test_a_file_that_is_too_large_is_not_sent(page):
    sent = len(ASKED)
    page.execute_script(
        """
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(32 * 2 ** 20 + 1)], "large.png"));
        document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        """
    )
    wait(page, lambda d: "larger than 32 MiB" in d.find_element(By.ID, "answers").text)
    assert len(ASKED) == sent


def test_the_keyboard_reaches_the_drop_area_and_an_example(page):
    wait(page, lambda d: d.find_elements(By.CSS_SELECTOR, "#examples button"))
    reached = set()
    for _ in range(15):
        ActionChains(page).send_keys(Keys.TAB).perform()
        inside = page.execute_script(
            "const e = document.activeElement;"
            "return e.closest('#drop') ? 'drop' : e.closest('#examples') ? 'examples' : '';"
        )
        reached.add(inside)
        if inside == "examples":
            ActionChains(page).send_keys(Keys.ENTER).perform()
            break
    assert {"drop", "examples"} <= reached
    told(page, "green.png")


def test_a_phones_width_needs_no_scrolling_sideways(page):
    # Chromium's own window is never narrower than 500 pixels.
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        time.sleep(1)
        width = page.execute_script("return document.documentElement.scrollWidth")
        assert page.execute_script("return window.innerWidth") == 390
        assert width <= 390
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_is_asked_of_any_other_machine(page, address, photos):
    page.get_log("performance")
    page.get(address)
    wait(page, lambda d: d.find_elements(By.CSS_SELECTOR, FILE_INPUT))
    page.find_element(By.CSS_SELECTOR, FILE_INPUT).send_keys(str(photos / "red.png"))
    told(page, "red.png")
    asked = [
        message["params"]["request"]["url"]
        for message in (json.loads(e["message"])["message"] for e in page.get_log("performance"))
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) > 5
    outside = {url for url in asked if not url.startswith((address, "data:", "blob:"))}
    assert not outside
    # Nor does the page run into its own policy.
    assert not [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]


def test_no_address_outside_stands_in_the_head_of_the_page(address):
    text = urllib.request.urlopen(address, timeout=PATIENCE).read().decode()
    head = text[: text.index("</head>")]
    links = [part.split(">")[0] for part in head.split("<") if part.startswith(("link", "script"))]
    assert links
    assert not [link for link in links if "//" in link.replace(address, "")]


def test_a_page_elsewhere_cannot_ask_by_a_name_of_its_own(address):
    request = urllib.request.Request(address, headers={"Host": "shop.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=PATIENCE)


def test_another_sites_page_cannot_have_the_browser_send_a_photo(chromium, address, tmp_path):
    """A page of another port, which is another origin."""
    (tmp_path / "index.html").write_text("<title>another site</title>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        chromium.get(f"http://127.0.0.1:{elsewhere.server_address[1]}/")
        sent = len(ASKED)
        ended = chromium.execute_async_script(
            """
            const [address, done] = arguments;
            const ask = (options) =>
              fetch(address + "/classify?name=foreign", {method: "POST", body: "x", ...options})
                .then(() => "answered", () => "refused");
            const headers = {"Title-Bytes": "1"};
            Promise.all([ask({mode: "no-cors"}), ask({}), ask({headers})]).then(done);
            """,
            address,
        )
        elsewhere.shutdown()
    assert ended == ["refused"] * 3
    assert len(ASKED) == sent
