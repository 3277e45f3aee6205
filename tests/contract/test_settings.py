"""Configurations and presets: they come back from JSON as they were, and what is wrong is named."""

import ast
import inspect
import json
import math
import types
import typing
from dataclasses import MISSING, fields

import pytest

from ganvas import catalog
from ganvas.engine.config import changed, from_json, to_json
from ganvas.errors import GanvasError

NAMES = catalog.names()


def numeric(config):
    """Fields that hold a number, or several: name, and the field's value with one of them replaced."""
    hints = typing.get_type_hints(type(config))
    for field in fields(config):
        hint = hints[field.name]
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        for option in options:
            if option in (int, float):
                yield field.name, option, lambda bad: bad
            elif typing.get_origin(option) is tuple and typing.get_args(option)[0] in (int, float):
                parts = typing.get_args(option)
                count = 1 if parts[1:] == (...,) else len(parts)
                yield field.name, parts[0], lambda bad, count=count: [bad] * count


def refused(config, field, value):
    """Changing the field is an error of one line that names it."""
    with pytest.raises(GanvasError, match=rf"\b{field}\b") as caught:
        changed(config, {field: value}, "--config")
    assert "\n" not in str(caught.value)


def test_every_preset_comes_back_from_json(game):
    for preset in game.entry.presets.values():
        assert type(preset) is game.entry.config
        assert from_json(game.entry.config, json.loads(json.dumps(to_json(preset))), "here") == preset


def test_the_presets_that_every_model_has(game):
    assert {"paper", "quick", "tiny"} <= game.entry.presets.keys()
    assert all(field.default is not MISSING or field.default_factory is not MISSING for field in fields(game.entry.config))
    assert game.entry.presets["paper"] == game.entry.config(), "the defaults are the paper's"


def test_an_unknown_field_names_the_nearest(game):
    for field in fields(game.config):
        with pytest.raises(GanvasError, match=rf"--config: there is no field '{field.name}x'\. Did you mean '\w+'\?"):
            changed(game.config, {field.name + "x": 1}, "--config")


def test_a_wrong_type_is_refused_by_name(game):
    for field in fields(game.config):
        refused(game.config, field.name, {"nonsense": 1})


def test_a_number_out_of_range_is_refused_by_name(game):
    for name, kind, with_value in numeric(game.config):
        refused(game.config, name, with_value(-1))
        if kind is float:
            refused(game.config, name, with_value(math.nan))
    for name in ("images", "batch"):
        refused(game.config, name, 0)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_explained_in_sentences(name):
    source = ast.parse((catalog.FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    (config,) = [node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "Config"]
    explained = {}
    for field, after in zip(config.body, [*config.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
            explained[field.target.id] = inspect.cleandoc(after.value.value) if is_text else ""
    assert explained.keys() == {field.name for field in fields(catalog.open_model(name).config)}
    for field, text in explained.items():
        assert text.endswith(".") and len(text.split()) >= 3, f"Config.{field} needs a sentence, not {text!r}"


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_frozen_and_takes_keywords_only(name):
    config = catalog.open_model(name).config
    assert config.__dataclass_params__.frozen and all(field.kw_only for field in fields(config))
