"""Settings: JSON and back without loss; what is wrong is named by flag or field."""

import json
import math
from dataclasses import dataclass, fields, replace
from typing import Literal

import pytest

from ganvas.engine.config import RunConfig, changed, from_json, to_json
from ganvas.errors import GanvasError, require


@dataclass(frozen=True, kw_only=True)
class Numbers:
    width: int = 64
    slope: float = 0.2
    cost: Literal["minimax", "non-saturating"] = "minimax"
    widths: tuple[int, ...] = (8, 16)
    betas: tuple[float, float] | None = (0.5, 0.999)
    lazy: bool = False

    def __post_init__(self) -> None:
        require(self.width > 0, f"--config.width {self.width}: must be greater than 0")


CHANGED = Numbers(width=3, slope=1e-7, cost="non-saturating", widths=(1,), betas=None, lazy=True)


@pytest.mark.parametrize("config", [Numbers(), CHANGED, RunConfig(), RunConfig(images=5, seed=2**63 - 1, precision="bf16", threads=1)])
def test_settings_come_back_as_they_were(config):
    assert from_json(type(config), json.loads(json.dumps(to_json(config))), "here") == config


def test_json_holds_lists_not_tuples():
    assert to_json(Numbers())["widths"] == [8, 16]


def test_some_fields_can_be_changed():
    assert changed(Numbers(), {"width": 3, "betas": [0.0, 0.9]}, "--config") == replace(Numbers(), width=3, betas=(0.0, 0.9))
    assert changed(Numbers(), {}, "--config") == Numbers()


def test_missing_fields_take_their_defaults():
    assert from_json(Numbers, {"width": 5}, "here") == Numbers(width=5)


def test_an_unknown_field_names_the_nearest():
    with pytest.raises(GanvasError, match=r"run/config\.json: there is no field 'widht'\. Did you mean 'width'\? Fields: width, slope"):
        from_json(Numbers, {"widht": 3}, "run/config.json")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": "wide"}, "width: "),
        ({"width": 2.5}, "width: "),
        ({"width": None}, "width: "),
        ({"slope": []}, "slope: "),
        ({"cost": "minmax"}, "cost: .*'minimax' or 'non-saturating'"),
        ({"widths": [8, "x"]}, r"widths\.1: "),
        ({"widths": 8}, "widths: "),
        ({"betas": [0.5]}, "betas"),
        ({"lazy": "perhaps"}, "lazy: "),
    ],
)
def test_an_ill_typed_field_is_named(change, named):
    with pytest.raises(GanvasError, match=f"^--config: {named}") as caught:
        changed(Numbers(), change, "--config")
    assert "\n" not in str(caught.value)


def test_a_refusal_of_the_settings_themselves_is_passed_on_in_one_line():
    with pytest.raises(GanvasError, match=r"^here: --config\.width -5: must be greater than 0$"):
        from_json(Numbers, {"width": -5}, "here")


COUNTS = ("images", "accumulate", "save_every", "keep", "grid_every", "evaluate_every", "threads", "resolution")


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [-5, 0])
def test_counts_must_be_positive_and_the_flag_is_named(name, value):
    with pytest.raises(GanvasError, match=f"^--{name.replace('_', '-')} {value}: must be greater than 0$"):
        RunConfig(**{name: value})


@pytest.mark.parametrize("minutes", [0.0, -1.0, math.nan, math.inf])
def test_minutes_must_be_a_finite_positive_number(minutes):
    with pytest.raises(GanvasError, match=f"--minutes {minutes}: must be"):
        RunConfig(minutes=minutes)


def test_images_or_minutes_but_not_both():
    with pytest.raises(GanvasError, match="--images and --minutes: give one of them"):
        RunConfig(images=5, minutes=1.0)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_fits_63_bits(seed):
    with pytest.raises(GanvasError, match=f"--seed {seed}: must be between"):
        RunConfig(seed=seed)


def test_an_edited_run_file_is_refused_by_its_name():
    with pytest.raises(GanvasError, match=r"^run/config\.json: --keep -1: must be"):
        from_json(RunConfig, to_json(RunConfig()) | {"keep": -1}, "run/config.json")
    with pytest.raises(GanvasError, match=r"^run/config\.json: precision: .*'fp32'"):
        from_json(RunConfig, to_json(RunConfig()) | {"precision": "fp16"}, "run/config.json")


def test_every_positive_count_of_a_run_is_covered_here():
    numeric = {field.name for field in fields(RunConfig) if "int" in str(field.type) and field.name != "seed"}
    assert numeric == set(COUNTS)
