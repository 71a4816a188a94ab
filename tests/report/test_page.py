"""The report's page: well-formed, self-contained, escaped, and small enough to send."""

import copy
import json
import re
import shlex

import numpy as np
import pytest
from report.html_check import Page

from fashion_keras.evaluation.predictions import Predictions
from fashion_keras.evaluation.results import evaluate_predictions
from fashion_keras.report.insight import insights
from fashion_keras.report.page import render_page

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=http://evil.example/x onerror=alert(1)>',
    "'; alert(1); '",
    "</style><b>",
    "{{ 7 * 7 }}",
    "Ties & <Cufflinks>",
)
PIXEL = "data:image/jpeg;base64,AAAA"
ORIGIN = {
    "model": "runs/<x>",
    "arch": "tiny",
    "image_size": [80, 60],
    "records": "tfrecords/&",
    "records_source": {"name": "a <zip>"},
    "records_split": {"strategy": "random"},
    "fashion_keras": "0",
}


def drawn(split, classes, photos=900):
    generator = np.random.default_rng(len(split))
    logits = (generator.normal(size=(photos, classes)) * 5).astype(np.float32)
    truth = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    ids = [f"<i>{number}" for number in range(photos)]
    return Predictions(split, ids, {"kind": truth}, {"kind": logits})


def evaluated(classes, *, train_counts=True, validation=True):
    scored = drawn("test", len(classes))
    counts = {"kind": list(range(len(classes)))} if train_counts else None
    result = evaluate_predictions(scored, {"kind": classes}, resamples=20, train_counts=counts)
    checked = drawn("validation", len(classes)) if validation else None
    return insights(scored, checked, {**result, **ORIGIN}, None, target_error=0.05)


def card(truth, prediction, heat=PIXEL):
    return {
        "id": "<i>1",
        "truth": truth,
        "prediction": prediction,
        "probability": 0.5,
        "photo": PIXEL,
        "heat": heat,
        "width": 120,
        "height": 160,
    }


def render(result, **changes):
    names = [row["class"] for row in result["per_class"]]
    given = {
        "title": "<run>",
        "figures": {
            name: "<svg></svg>"
            for name in ("automation", "reliability", "shares", "counts", "long_tail")
        },
        "matrix_frame": (0.1, 0.2, 0.5, 0.6),
        "confusions": [
            {**pair, "photos": [card(pair["truth"], pair["prediction"], None)] * 6}
            for pair in result["confusions"]
        ],
        "mistakes": [card(names[0], names[1])] * 24,
        "hits": [card(names[2], names[2])] * 24,
    }
    return render_page(result, **{**given, **changes})


@pytest.fixture(scope="module")
def result():
    return evaluated(HOSTILE)


@pytest.fixture(scope="module")
def html(result):
    return render(result)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_every_tag_is_closed_and_every_id_there_once(page):
    assert page.tags[0][0] == "html"
    assert len(page.ids) == len(set(page.ids))


def test_sections_are_where_the_links_at_the_top_lead(page):
    targets = [link[1:] for link in page.links if link.startswith("#")]
    assert len(targets) == 9
    assert set(targets) <= set(page.ids)


def test_nothing_is_fetched_and_a_browser_is_told_to_fetch_nothing(page):
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    policy = next(a["content"] for tag, a in page.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:")
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base"}


def test_style_and_script_name_no_address(html):
    # Names are data; what is ours in the page must not load anything.
    for block in re.findall(r"<style>(.*?)</style>|<script>(.*?)</script>", html, re.DOTALL)[:2]:
        assert "http" not in "".join(block)
        assert "@import" not in "".join(block)
        assert "url(" not in "".join(block)


def test_hostile_names_are_text(html, page):
    assert page.count("script") == 2
    assert page.count("style") == 1
    assert not [a for _, a in page.tags if any(key.startswith("on") for key in a)]
    assert "49" not in page.text
    for name in HOSTILE:
        assert name in page.text, name
    assert "&lt;run&gt;" in html


def test_the_matrix_data_for_the_script_is_the_matrix(html, result):
    text = re.search(r'<script type="application/json" id="matrix-data">(.*?)</script>', html)[1]
    data = json.loads(text)
    counts = np.array(result["confusion_matrix"]["counts"])
    found = np.zeros_like(counts)
    for row, column, count in data["cells"]:
        found[row, column] = count
    np.testing.assert_array_equal(found, counts)
    assert tuple(data["classes"]) == HOSTILE
    assert (data["left"], data["top"], data["width"], data["height"]) == (0.1, 0.2, 0.5, 0.6)


def test_the_command_can_be_pasted_whatever_folders_are_called(page):
    (command,) = [text for text in page.text if text.startswith("fashion-keras evaluate")]
    options = shlex.split(command)
    assert options[options.index("--model") + 1] == ORIGIN["model"]
    assert options[options.index("--data") + 1] == ORIGIN["records"]


def test_headline_numbers_stand_with_their_intervals(page, result):
    for key in ("accuracy", "macro_f1", "macro_f1_all", "weighted_f1", "top_3_accuracy"):
        score = result[key]
        assert f"{100 * score['value']:.2f}" in page.text
        assert f"{100 * score['low']:.2f} – {100 * score['high']:.2f}" in page.text


def test_the_class_table_can_be_sorted_and_holds_the_numbers(html, page, result):
    assert page.count("table", class_="sortable per-class") == 1
    table = html[html.index('class="sortable per-class"') :]
    heads = re.findall(r'aria-sort="(\w+)"><button type="button">([\w ]+)<', table)
    assert [name for _, name in heads] == [
        *("class", "photos", "F1", "trained on", "precision", "recall", "accepted", "wrong")
    ]
    assert [name for sort, name in heads if sort == "descending"] == ["photos"]
    rows = re.findall(r"<tr>\n<th scope=\"row\">(.*?)</tr>", table, re.DOTALL)
    first = max(result["per_class"], key=lambda row: row["support"])
    values = re.findall(r'data-value="([^"]*)"', rows[0])
    check = next(r for r in result["automation"]["per_class"] if r["class"] == first["class"])
    expected = [first[k] for k in ("support", "f1", "train_support", "precision", "recall")]
    assert [float(value) for value in values] == pytest.approx(
        [*expected, check["accepted"], check["error"]]
    )


def two_labels(split):
    found = drawn(split, len(HOSTILE))
    truth, logits = found.truth["kind"], found.logits["kind"]
    return Predictions(
        split,
        found.ids,
        {"kind": truth, HOSTILE[0]: truth, "unknown": np.full_like(truth, -1)},
        {"kind": logits, HOSTILE[0]: logits, "unknown": logits},
    )


def test_each_other_label_is_a_folded_section_with_its_curve_and_classes():
    scored = two_labels("test")
    result = evaluate_predictions(scored, dict.fromkeys(scored.truth, HOSTILE), resamples=20)
    found = insights(scored, two_labels("validation"), {**result, **ORIGIN}, None, 0.05)
    curve = f"automation of {HOSTILE[0]}"
    drawings = ("automation", "reliability", "shares", "counts", curve)
    page = Page(html := render(found, figures=dict.fromkeys(drawings, "<svg></svg>")))
    assert page.count("details", class_="label") == 1  # the other has no photo
    assert page.count("table", class_="sortable per-class") == 2
    assert page.count("svg") == 5 and len(page.ids) == len(set(page.ids))
    assert "alert(1)</script>" not in html.split("<main>")[1].split("matrix-data")[0]
    check = found["heads"][HOSTILE[0]]["automation"]["check"]
    summary = html.split('<details class="label">')[1].split("</summary>")[0]
    assert f"{check['coverage']:.1%} accepted, {check['error']:.2%} of those wrong" in summary
    assert "open" not in html.split('<details class="label"')[1].split(">")[0]
    assert 'href="#labels"' in html


def test_classes_that_do_not_occur_are_named_in_good_english():
    for absent, said in (
        (1, "1 class of the vocabulary is"),
        (2, "2 classes of the vocabulary are"),
    ):
        present = len(HOSTILE) - absent
        scored = drawn("test", present)
        logits = np.pad(scored.logits["kind"], [(0, 0), (0, absent)], constant_values=-99)
        padded = Predictions("test", scored.ids, scored.truth, {"kind": logits})
        result = evaluate_predictions(padded, {"kind": HOSTILE}, resamples=20)
        assert said in render(insights(padded, None, {**result, **ORIGIN}, None, 0.05))


def test_a_bar_stands_beside_its_number_and_not_behind_it(html, result):
    bars = re.findall(
        r'<span class="bar"[^>]*><i style="--share:([\d.]+)"></i></span>([\d.]+)<', html
    )
    assert len(bars) == len(result["per_class"])
    assert all(share == number for share, number in bars)


def test_what_a_cell_says_covers_nothing_until_one_is_pointed_at_or_tapped(page, html):
    (readout,) = [a for _, a in page.tags if a.get("id") == "readout"]
    assert "hidden" in readout
    assert "position: sticky; bottom" not in html
    assert page.count("span", class_="by-touch") == 1


def test_every_picture_has_its_place_and_alternative_text(page, result):
    photos = 24 * 2 + 24 * 2 + 6 * len(result["confusions"])
    assert page.count("img") == photos
    assert all(a.get("alt") for tag, a in page.tags if tag == "img")
    assert page.count("svg") == 5


def test_a_threshold_chosen_on_the_reported_split_is_warned_of(result):
    assert "cannot" not in " ".join(Page(render(result)).text).split("Classes")[0]
    same = copy.deepcopy(result)
    same["split"] = "validation"
    assert "so they cannot vouch for it" in " ".join(" ".join(Page(render(same)).text).split())


def test_a_split_without_validation_beside_it_still_makes_a_page():
    found = evaluated(HOSTILE, validation=False)
    text = " ".join(Page(render(found)).text)
    assert "there is no validation split" in text
    assert "accepted" not in text.split("trained on")[1].split("The long tail")[0]


def test_no_threshold_good_enough_says_how_many_photos_it_takes(result):
    found = copy.deepcopy(result)
    found["automation"] |= {"check": None, "threshold": None, "per_class": None}
    found["automation"]["target_error"] = 0.01
    text = " ".join(" ".join(Page(render(found)).text).split())
    assert "it takes 299 of them" in text


def test_records_without_training_photos_have_no_long_tail():
    found = evaluated(HOSTILE, train_counts=False)
    page = Page(
        render(found, figures={n: "" for n in ("automation", "reliability", "shares", "counts")})
    )
    assert "tail" not in page.ids
    assert "trained on" not in page.text


def test_a_perfect_model_has_no_mistakes_to_show(result):
    found = copy.deepcopy(result)
    found["confusions"] = []
    page = Page(render(found, mistakes=[], confusions=[]))
    assert "There are none." in page.text


def test_with_143_classes_and_every_photo_it_stays_below_5_megabytes():
    found = evaluated(tuple(f"Class number {n} & more" for n in range(143)))
    photo = "data:image/jpeg;base64," + "A" * 8000  # what a noisy photo takes
    item = {**card("a", "b"), "photo": photo, "heat": photo}
    pairs = [{**pair, "photos": [item] * 6} for pair in found["confusions"]]
    html = render(found, mistakes=[item] * 24, hits=[item] * 24, confusions=pairs)
    assert len(html.encode()) < 5_000_000 - 1_500_000  # less what the pictures may take
    Page(html)
