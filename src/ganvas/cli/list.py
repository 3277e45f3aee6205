"""List the models.

`--json` prints an array of objects with name, title, year, family, capabilities and more.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ganvas import catalog
from ganvas.cli.parse import parse


@dataclass(frozen=True, kw_only=True)
class Options:
    json: bool = False
    """Print JSON instead of a table."""
    markdown: bool = False
    """Print the table of the README."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "list", __doc__)
    cards = {name: catalog.card(name) for name in catalog.names()}
    if options.json:
        shown = [
            {"name": name, **asdict(card), "capabilities": list(card.capabilities), "data": list(card.data)} for name, card in cards.items()
        ]
        print(json.dumps(shown, indent=1))
        return 0
    if options.markdown:
        print(markdown())
        return 0
    width = max(map(len, cards))
    for name, card in sorted(cards.items(), key=lambda item: (item[1].year, item[0])):
        print(f"{name:<{width}}  {card.year}  {card.teaches}")
    return 0


def markdown() -> str:
    """The README's table of models."""
    rows = ["| model | year | paper | what it teaches | data |", "|---|---|---|---|---|"]
    for name, card in sorted(((name, catalog.card(name)) for name in catalog.names()), key=lambda item: (item[1].year, item[0])):
        rows.append(f"| `{name}` | {card.year} | {card.paper} | {card.teaches} | {', '.join(card.data)} |")
    return "\n".join(rows)
