"""Typed options from dataclasses, with errors of one line."""

import difflib
import io
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import Any, TypeVar

import tyro

from ganvas.errors import GanvasError, nearest

T = TypeVar("T")


def parse(what: type[T] | Callable[..., T], arguments: Sequence[str], command: str, description: str | None) -> T:
    """The options object `what` describes; prints help and exits for `--help`; a wrong option is an error that names the nearest."""
    program = f"ganvas {command}"

    def ask(words: Sequence[str]) -> Any:
        return tyro.cli(what, args=list(words), prog=program, description=description, config=(tyro.conf.FlagCreatePairsOff,))

    caught, shown = io.StringIO(), io.StringIO()
    try:
        with redirect_stderr(caught):
            result: T = ask(arguments)
        return result
    except SystemExit as end:
        if not end.code:
            raise
        with suppress(SystemExit), redirect_stdout(shown):
            ask(["--help"])
        message = unknown(arguments, shown.getvalue()) or one_line(caught.getvalue())
        raise GanvasError(f"{message.removesuffix('.')}; see `{program} --help`") from end


def unknown(arguments: Sequence[str], described: str) -> str:
    """The first argument that is none of the options of a help text, with the option nearest to it; "" if there is none such. A setting of
    a model is not judged by a help text that knows no model."""
    known = sorted({"--help", *re.findall(r"^\W*(?:-\w, )?(--[\w.-]+)", described, flags=re.MULTILINE)})
    settings = any("." in option for option in known)
    for argument in arguments:
        given = argument.partition("=")[0]
        option = given.replace("_", "-")
        if re.match("--[a-zA-Z]", option) and option not in known and (settings or "." not in option):
            return f"there is no option '{given}'. Did you mean '{max(known, key=lambda one: _likeness(option, one))}'?"
    return ""


def _likeness(option: str, other: str) -> float:
    """How near two options are: by their own names, and a little by whether both are settings of a model."""
    names = [re.split(r"[.]|^--", word)[-1] for word in (option, other)]
    held = min(map(len, names)) > 2 and (names[0] in names[1] or names[1] in names[0])
    return max(difflib.SequenceMatcher(None, names[0], names[1]).ratio(), 0.9 * held) + 0.2 * (("." in option) == ("." in other))


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
