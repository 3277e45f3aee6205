"""The card at the head of every model file: what lists, pages and menus say about it. Readable without importing torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Card:
    """A literal; the catalog reads it from the file's text.

    `teaches` says in about eight words what a reader learns here. `data` lists the kinds of data the model takes (images | points |
    tokens). `capabilities` names what it can do beyond sampling (see `ganvas.engine.capabilities`), `conditions` what a sample can be
    asked for (labels | attributes | text) or is made from (images). `needs` lists what the data must provide (labels, target, aligned,
    single, ...: `DataSpec.has`). `networks` names what a user may give of his own in Python. `exceptions` maps the name of a check of the
    contract suite that cannot hold for this model to the reason.
    """

    title: str
    year: int
    paper: str
    family: str
    teaches: str
    data: tuple[str, ...]
    capabilities: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    exceptions: Mapping[str, str] = field(default_factory=dict)
