"""What a training run would see of a source, in words: the text of `ganvas data scan`."""

import os

from torch.utils.data import Dataset

from ganvas.data.arrangement import Arrangement
from ganvas.data.open import find
from ganvas.data.progress import Progress, Silent
from ganvas.data.source import Request, Scan
from ganvas.data.words import attribute_line, class_line, counted, shape_of, shown

_MOST_SIZES = 8
_MOST_REJECTED = 20


def scan(
    source: str | os.PathLike[str] | Dataset,
    *,
    resolution: int | None = None,
    layout: Arrangement = "auto",
    verify: bool = False,
    progress: Progress | None = None,
) -> Scan:
    """Look at every example of every split; arguments and errors as in `open_data`. `Scan.to_json` has the full list of rejected files."""
    return find(source, layout).scan(Request(resolution=resolution, verify=verify, progress=progress or Silent()))


def describe(
    source: str | os.PathLike[str] | Dataset,
    *,
    resolution: int | None = None,
    layout: Arrangement = "auto",
    verify: bool = False,
    progress: Progress | None = None,
) -> str:
    """`scan` as text for a terminal, without a newline at the end."""
    return text(scan(source, resolution=resolution, layout=layout, verify=verify, progress=progress))


def text(found: Scan) -> str:
    """A scan as text: kind, splits with counts and classes, what training sees, native sizes and modes, conversions, rejected files."""
    noun = "image" if found.spec.kind == "images" else "point"
    lines = [f"source       {found.source}", f"kind         {found.kind}", f"training on  {shape_of(found.spec)}"]
    for split, count in found.splits.items():
        lines.append(f"split        {split}: {counted(count.count, 'pair' if found.spec.aligned else noun)}")
        if count.classes:
            lines.append(f"             {class_line(count.classes)}")
        if count.domains:
            named = ", ".join(f"{shown(name)} ({number:,})" for name, number in count.domains.items())
            lines.append(f"             {'aligned' if found.spec.aligned else 'unaligned'} domains: {named}")
        if count.attributes:
            lines.append(f"             {attribute_line(count.attributes, count.count)}")
    if found.sizes:
        named = ", ".join(f"{width} x {height} ({count:,})" for width, height, count in found.sizes[:_MOST_SIZES])
        more = len(found.sizes) - _MOST_SIZES
        lines.append(f"native size  {named}" + (f", and {more:,} more sizes" if more > 0 else ""))
    if found.modes:
        lines.append("modes        " + ", ".join(f"{mode} ({count:,})" for mode, count in found.modes.items()))
    lines += [f"conversion   {line}" for line in found.conversions]
    lines.append(f"rejected     {counted(len(found.rejected), 'file')}")
    lines += [f"             '{shown(one.path)}' {one.reason}" for one in found.rejected[:_MOST_REJECTED]]
    if len(found.rejected) > _MOST_REJECTED:
        lines.append(f"             and {len(found.rejected) - _MOST_REJECTED:,} more (all of them with --json)")
    if found.cache:
        lines.append(f"scan cache   {shown(found.cache)}")
    return "\n".join(lines)
