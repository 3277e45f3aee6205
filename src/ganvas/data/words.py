"""How data are put into words: numbers, sizes, classes, names of files."""

from collections.abc import Mapping

from ganvas.data.batch import DataSpec


def number(n: int) -> str:
    """60000 as 60,000."""
    return f"{n:,}"


def counted(n: int, noun: str) -> str:
    """'1 image', '60,000 images'."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def shown(name: str) -> str:
    """A file's name on one line: control characters and bytes that are not UTF-8 are escaped."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shape_of(spec: DataSpec) -> str:
    """'28 x 28 pixels, grey' (width x height) or '2-D points'."""
    if spec.kind == "images":
        channels, height, width = spec.shape
        return f"{width} x {height} pixels, {'grey' if channels == 1 else 'colour'}"
    return f"{spec.shape[0]}-D points"


def class_line(counts: Mapping[str, int], most: int = 20) -> str:
    """'10 classes: 0 (5,923), 1 (6,742), ...'; at most `most` are named."""
    named = [f"{shown(name)} ({count:,})" for name, count in list(counts.items())[:most]]
    more = len(counts) - len(named)
    noun = "class" if len(counts) == 1 else "classes"
    return f"{len(counts):,} {noun}: " + ", ".join(named) + (f", and {more:,} more" if more else "")


def attribute_line(having: Mapping[str, int], examples: int, most: int = 40) -> str:
    """'2 attributes: Smiling (48.2 %), Young (77.4 %)'; at most `most` are named."""
    named = [f"{shown(name)} ({count / max(1, examples):.1%})" for name, count in list(having.items())[:most]]
    more = len(having) - len(named)
    return f"{counted(len(having), 'attribute')}: " + ", ".join(named) + (f", and {more:,} more" if more else "")
