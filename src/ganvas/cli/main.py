"""`ganvas`: finds the command, runs it, and turns every error of the user's into one line.

Exit codes: 0 done; 1 training stopped (a non-finite update, no memory) or a check failed; 2 wrong input; 130 and 143 interrupted by SIGINT
and SIGTERM, with a checkpoint saved.
"""

import ast
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from ganvas.errors import GanvasError, TrainingStopped, nearest

_NOT_COMMANDS = {"__init__", "main", "parse"}


def commands() -> dict[str, str]:
    """Each command's name and one-line summary, read from its file's text."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in _NOT_COMMANDS:
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[path.stem] = text.splitlines()[0]
    return found


def usage() -> str:
    known = commands()
    width = max(map(len, known))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in known.items()]
    codes = "exit codes: 0 done, 1 training stopped or a check failed, 2 wrong input, 130/143 interrupted with a checkpoint saved"
    return "\n".join(
        [
            "usage: ganvas COMMAND ...",
            "",
            "Train, sample, measure and compare generative adversarial networks and their relatives.",
            "",
            *lines,
            "",
            "`ganvas COMMAND --help` explains one; `ganvas train MODEL --help` also lists the model's own settings.",
            codes,
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # Spinning OpenMP threads starve each other on a shared machine; a short spin keeps nearly all the speed of a long one.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    name, known = arguments[0], commands()
    try:
        if name == "--version":
            from ganvas import __version__

            print(__version__)
            return 0
        if name not in known:
            raise GanvasError(f"there is no command '{name}'.{nearest(name, known)} `ganvas --help` lists them.")
        return int(import_module(f"ganvas.cli.{name}").main(arguments[1:]))
    except GanvasError as error:
        print(f"ganvas: {' '.join(str(error).split())}", file=sys.stderr)
        return 1 if isinstance(error, TrainingStopped) else 2
    except (MemoryError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        print(f"ganvas: {_out_of_memory(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _lacks_memory(error: Exception) -> bool:
    """Whether the machine or its device had no memory left; torch says so in a RuntimeError."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or ("allocat" in said and "memory" in said)


def _out_of_memory(error: Exception) -> str:
    """What was asked for, and what needs less; checkpoints were whole before."""
    found = re.search(r"(?:allocate|tried to allocate) ([\d.]+ \w+)", str(error))
    asked = f" (asked for {found[1]})" if found else ""
    return (
        f"there is not enough memory{asked}: take a smaller --config.batch, more --accumulate, a smaller --resolution or --count; what was"
        " saved before is whole"
    )


if __name__ == "__main__":
    sys.exit(main())
