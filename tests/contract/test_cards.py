"""Cards and docstrings: complete, true, and readable without importing the model."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from ganvas import catalog
from ganvas.engine import capabilities
from ganvas.engine.contract import GenerativeModel
from ganvas.errors import GanvasError
from tests.contract.games import SOURCES

NAMES = catalog.names()
pytestmark = pytest.mark.parametrize("name", NAMES)


def spelled(capability):
    """LogProbability -> log-probability"""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", capability.__name__).lower()


CAPABILITIES = {
    spelled(thing): thing for thing in vars(capabilities).values() if inspect.isclass(thing) and thing.__module__ == capabilities.__name__
}


def text(name):
    return import_module(f"ganvas.models.{name}").__doc__


def checks():
    """Names of the checks that take a game."""
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and "game" in [argument.arg for argument in node.args.args]:
                yield node.name.removeprefix("test_")


def test_the_card_is_complete(name):
    card = catalog.card(name)
    assert card == catalog.open_model(name).card
    assert card.title and 1980 <= card.year <= 2030
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|arXiv:[a-z-]+/\d{7}|doi:10\.\S+|\d{4}, pages? \d+", card.paper), card.paper
    assert re.fullmatch(r"[a-z][a-z -]+", card.family)
    assert 4 <= len(card.teaches.split()) <= 12 and not card.teaches.endswith(".")
    assert card.data and set(card.data) <= SOURCES.keys()
    assert set(card.conditions) <= {"labels", "attributes", "text", "images"}


def test_the_card_lists_the_capabilities_the_model_has(name):
    entry = catalog.open_model(name)
    assert set(entry.card.capabilities) == {word for word, thing in CAPABILITIES.items() if issubclass(entry.model, thing)}
    assert len(set(entry.card.capabilities)) == len(entry.card.capabilities)


def test_exceptions_name_checks_and_give_reasons(name):
    exceptions = catalog.card(name).exceptions
    assert exceptions.keys() <= set(checks())
    assert all(len(reason.split()) >= 4 for reason in exceptions.values())


def test_the_docstring_says_what_a_reader_needs(name):
    card, said = catalog.card(name), text(name)
    head = said.splitlines()[0]
    assert head.startswith(f"{card.title} - ") and str(card.year) in head
    reference = re.search(r"arXiv:\S+|doi:\S+", card.paper)
    assert reference is None or reference.group() in said
    for part in ("Objective", "Shapes:", "Differences from the paper", "What to expect"):
        assert part in said, f"{name}.py: its docstring lacks '{part}'"
    assert len(said) > 800


def test_the_model_is_one_final_class_that_says_what_it_is(name):
    entry = catalog.open_model(name)
    assert issubclass(entry.model, GenerativeModel) and not inspect.isabstract(entry.model)
    assert entry.model.__final__ and entry.model.__doc__ and entry.config.__doc__
    games = {
        thing
        for thing in vars(import_module(f"ganvas.models.{name}")).values()
        if inspect.isclass(thing) and issubclass(thing, GenerativeModel) and thing is not GenerativeModel
    }
    assert games == {entry.model}


def test_a_misspelled_name_is_answered_by_the_nearest(name):
    with pytest.raises(GanvasError, match=f"there is no model '{name}x'.*Did you mean '{name}'"):
        catalog.open_model(f"{name}x")
    with pytest.raises(GanvasError, match="has no preset 'papr'.*Did you mean 'paper'"):
        catalog.preset(catalog.open_model(name), "papr", catalog.card(name).data[0])
