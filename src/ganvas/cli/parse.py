"""Typed options from dataclasses, with errors of one line."""

import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from typing import Any, TypeVar

import tyro

from ganvas.errors import GanvasError, nearest

T = TypeVar("T")


def parse(what: type[T] | Callable[..., T], arguments: Sequence[str], command: str, description: str | None) -> T:
    """The options object `what` describes; prints help and exits for `--help`; a wrong option is an error that names the nearest."""
    program = f"ganvas {command}"
    caught = io.StringIO()
    try:
        with redirect_stderr(caught):
            result: Any = tyro.cli(
                what, args=list(arguments), prog=program, description=description, config=(tyro.conf.FlagCreatePairsOff,)
            )
        return result
    except SystemExit as end:
        if not end.code:
            raise
        raise GanvasError(f"{one_line(caught.getvalue()).removesuffix('.')}; see `{program} --help`") from end


def one_line(boxed: str) -> str:
    """The message of a framed error report: its first sentences without frames, rules (dashes where the terminal knows ASCII only) and the
    advice below them; a wrong choice is answered by the nearest."""
    lines = [re.sub(r"[│╭╮╰╯]|─{2,}|-{3,}", " ", line).strip() for line in boxed.splitlines()]
    kept: list[str] = []
    for line in lines[1:]:
        if line.startswith(("Argument helptext", "For full helptext", "Run ")):
            break
        if line and line != "─":
            kept.append(line)
    message = re.sub(r"\s+", " ", " ".join(kept)) or "wrong options"
    chosen = re.search(r"invalid choice '([^']*)'.* one of \((.*)\)\.?$", message)
    return message.removesuffix(".") + "." + nearest(chosen[1], re.findall(r"'([^']*)'", chosen[2])) if chosen else message
