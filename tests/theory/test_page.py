"""docs/theory.md itself: its figures, the tests it names, and the numbers that can be computed in a moment."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from docs.figures import theory
from docs.figures.drawing import MADE_BY, digest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TEXT = theory.PAGE.read_text(encoding="utf-8")
SECTIONS = re.split(r"^## ", TEXT, flags=re.M)[1:]


def test_every_figure_is_shown_once_and_is_small():
    assert re.findall(r"!\[[^\]]+\]\(figures/(\w+)\.png\)", TEXT) == list(theory.FIGURES)
    pictures = {path.stem: path for path in theory.HERE.glob("*.png")}
    assert set(pictures) == set(theory.FIGURES)
    for path in pictures.values():
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size < 120_000


@pytest.mark.parametrize("name", theory.FIGURES)
def test_every_figure_was_drawn_by_the_code_as_it_is(name):
    with Image.open(theory.HERE / f"{name}.png") as picture:
        said = picture.info.get(MADE_BY)
    assert said == digest(inspect.getfile(theory.FIGURES[name])), f"the code has changed: python docs/figures/theory.py {name}"


def test_every_section_names_tests_that_exist():
    there = {}
    for path in (ROOT / "tests" / "theory").glob("test_*.py"):
        functions = [node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
        there[path.stem] = set(functions)
    numbered = [section for section in SECTIONS if re.match(r"\d+\. ", section)]
    assert [int(section.split(".")[0]) for section in numbered] == list(range(1, 13))
    for section in numbered:
        named = re.findall(r"`(test_\w+)::(test_\w+)`", section)
        assert named, section.splitlines()[0]
        assert [pair for pair in named if pair[1] not in there.get(pair[0], ())] == []


def test_every_figure_has_a_measured_sentence():
    for name in theory.FIGURES:
        assert len(theory.measured(TEXT, name)) > 20


@pytest.mark.parametrize("name", ["likelihood", "costs", "directions", "plan", "lines"])
def test_the_numbers_without_training_are_what_the_page_says(name, tmp_path):
    assert theory.FIGURES[name](tmp_path / "figure.png") == theory.measured(TEXT, name)
    assert (tmp_path / "figure.png").stat().st_size < 120_000


def test_a_sentence_is_put_between_its_own_marks():
    page = "a\n<!-- measured: one -->\nold\n<!-- end of measured -->\nb\n<!-- measured: two -->\nkept\n<!-- end of measured -->\n"
    written = theory.with_measured(page, "one", r"new \1")
    assert theory.measured(written, "one") == r"new \1" and theory.measured(written, "two") == "kept"


def test_the_code_of_the_figures_fits():
    for path in theory.HERE.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, node.name
