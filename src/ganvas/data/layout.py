"""What folders mean: splits, classes, or nothing. Decided from names alone.

1. Folders that hold everything (the top folder of an archive) mean nothing.
2. If any top folder is named as a split, top folders are splits; so are second-level folders if each of them is named as one
   (`cats/train`). A split is never a class, and what lies outside the splits is left out.
3. In a split, after folders that again hold everything, folders are classes; one folder alone is no class.
4. Images beside class folders are left out where they are the fewer, and otherwise there are no classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ganvas.data.source import UNDIVIDED, in_order, split_of

_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif")


@dataclass(frozen=True)
class Layout:
    """`places`: split and class name ("" without class) of each name that belongs somewhere; `outside`: why the others do not."""

    splits: tuple[str, ...]
    classes: tuple[str, ...]
    places: Mapping[str, tuple[str, str]]
    outside: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def arrange(names: Sequence[str]) -> Layout:
    """The layout of files by their paths below the source ("/" between folders).

    Files that are named as images decide; if there are none, all files do.
    """
    deciding = [name for name in names if name.lower().endswith(_SUFFIXES)] or list(names)
    outer = _wrapper([name.split("/") for name in deciding], stop_at_splits=True)
    paths = {name: name.split("/")[len(outer) :] for name in names if name.split("/")[: len(outer)] == outer and name.count("/") >= len(outer)}
    outside = {name: f"lies outside the folder '{'/'.join(outer)}' that holds the images" for name in names if name not in paths}
    rests, strays = _divide(paths, [name for name in deciding if name in paths])
    outside |= strays
    inner = _wrapper([rests[name][1] for name in deciding if name in rests], stop_at_splits=False)
    for name, (split, path) in list(rests.items()):
        if path[: len(inner)] == inner and len(path) > len(inner):
            rests[name] = (split, path[len(inner) :])
        else:
            outside[name] = f"lies outside the folder '{'/'.join(inner)}' that holds the images"
            del rests[name]
    return _classify(rests, set(deciding), outside)


def _wrapper(paths: Sequence[list[str]], *, stop_at_splits: bool) -> list[str]:
    """The longest chain of folders that every path begins with, ending before a folder named as a split."""
    common: list[str] = []
    while paths and len({tuple(path[: len(common) + 1]) for path in paths}) == 1 and all(len(path) > len(common) + 1 for path in paths):
        folder = paths[0][len(common)]
        if stop_at_splits and split_of(folder) is not None:
            break
        common.append(folder)
    return common


def _divide(paths: Mapping[str, list[str]], deciding: Sequence[str]) -> tuple[dict[str, tuple[str, list[str]]], dict[str, str]]:
    """Each path's split and what remains of it, and the reasons of those outside every split."""
    tops = {split_of(paths[name][0]) for name in deciding if len(paths[name]) > 1}
    seconds = [split_of(paths[name][1]) if len(paths[name]) > 2 else None for name in deciding]
    if tops - {None}:
        level, found = 0, in_order(split for split in tops if split is not None)
    elif seconds and None not in seconds:
        level, found = 1, in_order(split for split in seconds if split is not None)
    else:
        return {name: (UNDIVIDED, path) for name, path in paths.items()}, {}
    rests: dict[str, tuple[str, list[str]]] = {}
    outside: dict[str, str] = {}
    for name, path in paths.items():
        split = split_of(path[level]) if len(path) > level + 1 else None
        again = {split_of(folder) for folder in path[level + 1 : -1]} - {None, split}
        if split is None:
            outside[name] = f"lies outside the splits ({', '.join(found)})"
        elif again:
            outside[name] = f"lies in two splits at once ({split} and {in_order(word for word in again if word is not None)[0]})"
        else:
            rests[name] = (split, [part for i, part in enumerate(path) if i == len(path) - 1 or split_of(part) is None])
    return rests, outside


def _classify(rests: Mapping[str, tuple[str, list[str]]], deciding: set[str], outside: dict[str, str]) -> Layout:
    splits = in_order(split for split, _ in rests.values())
    places: dict[str, tuple[str, str]] = {}
    notes: list[str] = []
    for split in splits:
        members = {name: path for name, (there, path) in rests.items() if there == split}
        loose = sum(len(path) == 1 for name, path in members.items() if name in deciding)
        held = sum(len(path) > 1 for name, path in members.items() if name in deciding)
        labelled = held > loose
        if held and not labelled:
            notes.append(f"split {split}: folders are not classes, for as many images or more lie beside them")
        for name, path in members.items():
            if labelled and len(path) == 1:
                outside[name] = "lies beside the class folders and has no class"
            else:
                places[name] = (split, path[0] if labelled else "")
    classes = {label for _, label in places.values() if label}
    if len(classes) < 2:
        return Layout(splits, (), {name: (split, "") for name, (split, _) in places.items()}, outside, tuple(notes))
    return Layout(splits, tuple(sorted(classes, key=_natural)), places, outside, tuple(notes))


def _natural(label: str) -> tuple[int, int, str]:
    """Whole numbers by value, before all other names."""
    return (0, int(label), label) if label.isascii() and label.isdigit() else (1, 0, label)
