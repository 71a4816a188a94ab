"""Figures as SVG inside a page: well-formed, in the page's colours, without clashing ids."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from fashion_keras.evaluation.plots import (
    CSS_VARIABLES,
    INK,
    confusion_matrix_figure,
    figure_to_svg,
)

HOSTILE = ('<script>alert("x")</script>', 'a" onload="x', "<!-- & -->", "]]>")


@pytest.fixture(scope="module")
def svg():
    figure = confusion_matrix_figure(np.arange(16).reshape(4, 4), HOSTILE)
    return figure_to_svg(figure, "matrix", 'of "kind" <b>')


def test_it_is_one_element_that_an_xml_parser_reads(svg):
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root.get("aria-label") == 'of "kind" <b>'


def test_names_are_text_and_nothing_else(svg):
    root = ElementTree.fromstring(svg)
    found = {element.text.strip() for element in root.iter("text")}
    assert set(HOSTILE) <= found
    assert not list(root.iter("script"))
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")]


def test_colours_of_the_palette_are_the_pages(svg):
    assert CSS_VARIABLES[INK] in svg
    assert not [colour for colour in CSS_VARIABLES if colour in svg]
    assert "font-family" not in svg


def test_ids_are_this_pictures_own_and_what_is_referred_to_is_there(svg):
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert ids
    assert len(ids) == len(set(ids))
    assert all(id.startswith("matrix-") for id in ids)
    assert set(re.findall(r"url\(#([^)]*)\)", svg)) <= set(ids)


def test_nothing_is_fetched(svg):
    links = re.findall(r'href="([^"]*)"', svg)
    assert links
    assert all(link.startswith("data:image/png") for link in links)


def test_the_same_figure_gives_the_same_svg(svg):
    figure = confusion_matrix_figure(np.arange(16).reshape(4, 4), HOSTILE)
    assert figure_to_svg(figure, "matrix", 'of "kind" <b>') == svg


def test_two_matrices_of_143_classes_take_less_than_a_megabyte_and_a_half():
    counts = np.random.default_rng(0).integers(0, 3, (143, 143))
    names = [f"Class number {number}" for number in range(143)]
    size = len(figure_to_svg(confusion_matrix_figure(counts, names), "large", "").encode())
    assert 2 * size < 1_500_000
