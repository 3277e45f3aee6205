"""Draw the figures of docs/theory.md and write what they measured into it: `python docs/figures/theory.py [NAME ...]`.

Without names all are drawn, in about five minutes on one thread. Every number is a function of the code: the same machine and the same
libraries give the same page and the same bytes. A picture names the code that drew it, and tests/theory/test_page.py fails where that code
has changed since.
"""

import re
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script, Python looks only beside this file

import torch
from docs.figures import collapse, critics, divergences, games, transport

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "theory.md"

FIGURES: Mapping[str, Callable[[Path], str]] = {
    "optimal": divergences.optimal,
    "likelihood": divergences.likelihood,
    "costs": divergences.costs,
    "line": games.line,
    "directions": divergences.directions,
    "plan": transport.plan,
    "lines": transport.lines,
    "vanishing": critics.vanishing,
    "estimate": games.estimate,
    "leashes": critics.leashes,
    "flipflop": collapse.flipflop,
    "digits": collapse.digits,
}


def marks(name: str) -> tuple[str, str]:
    """What stands before and after a figure's measured sentence in the page."""
    return f"<!-- measured: {name} -->", "<!-- end of measured -->"


def measured(page: str, name: str) -> str:
    """The sentence that stands in a page for a figure."""
    begin, end = marks(name)
    return " ".join(page.split(begin)[1].split(end)[0].split()).removeprefix("Measured: ")


def with_measured(page: str, name: str, sentence: str) -> str:
    """The page with another sentence for a figure."""
    begin, end = marks(name)
    lines = textwrap.fill(f"Measured: {sentence}", 140, break_long_words=False, break_on_hyphens=False)
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{lines}\n{end}", page, flags=re.S)


def main(names: list[str]) -> None:
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        sys.exit(f"{', '.join(unknown)}: not a figure; there are {', '.join(FIGURES)}")
    torch.set_num_threads(1)
    for name in names or FIGURES:
        start = time.perf_counter()
        sentence = FIGURES[name](HERE / f"{name}.png")
        print(f"{name} [{time.perf_counter() - start:.0f} s]: {sentence}", flush=True)
        PAGE.write_text(with_measured(PAGE.read_text(encoding="utf-8"), name, sentence), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
