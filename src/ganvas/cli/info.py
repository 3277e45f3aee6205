"""Explain one model: its paper, its mathematics, its presets and settings."""

import dataclasses
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from ganvas import catalog
from ganvas.cli.parse import parse


@dataclass(frozen=True, kw_only=True)
class Options:
    model: tyro.conf.Positional[str]
    """A model of `ganvas list`."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "info", __doc__)
    entry = catalog.open_model(options.model)
    card = entry.card
    print(f"{card.title} ({card.year}), {card.paper}\n{card.teaches}\n")
    print(inspect.getdoc(sys.modules[entry.model.__module__]) or "")
    print(f"\nfamily: {card.family}; takes {', '.join(card.data)}; can also: {', '.join(card.capabilities) or 'nothing more'}")
    if card.conditions:
        print(f"samples can be asked for by {', '.join(card.conditions)}")
    print(f"\nsettings ({', '.join(entry.presets)}):")
    for field in dataclasses.fields(entry.config):
        values = [str(getattr(config, field.name)) for config in entry.presets.values()]
        print(f"  --config.{field.name:<20} {'  '.join(values)}")
    print(f"\nWhat each means: `ganvas train {entry.name} --help`. Train it: `ganvas train {entry.name} --data digits`.")
    return 0
