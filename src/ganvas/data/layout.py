"""What folders mean: splits, classes, or nothing. Decided from names alone.

1. Folders that hold everything (the top folder of an archive) mean nothing.
2. If any top folder is named as a split, top folders are splits; so are second-level folders if each of them is named as one
   (`cats/train`). A split is never a class, and what lies outside the splits is left out. A folder named as a split anywhere else is an
   error, for then splits would be mixed.
3. In a split, after folders that again hold everything, folders are classes; one folder alone is no class.
4. Images beside class folders are left out where they are the fewer, and otherwise there are no classes.
5. Top folders called as a split with an A or B behind (`trainA`, `trainB`) are `train/A` and `train/B` if there is such a pair.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ganvas.data.source import UNDIVIDED, in_order, split_of
from ganvas.data.words import shown
from ganvas.errors import GanvasError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif")

Path = tuple[str, ...]

TWO = ("A", "B")
"""The folders of two domains."""
_SUFFIXED = re.compile(r"(?P<split>.+?)[-_]?(?P<domain>[AB])")


@dataclass(frozen=True)
class Layout:
    """`splits` and `classes` in order. `places`: split and class name ("" without class) by folder; `outside`: why the others have none.

    `suffixed`: the classes A and B were told by folders such as `trainA` and `trainB`.
    """

    splits: tuple[str, ...]
    classes: tuple[str, ...]
    places: Mapping[str, tuple[str, str]]
    outside: Mapping[str, str]
    notes: tuple[str, ...] = ()
    suffixed: bool = False

    def place(self, name: str) -> tuple[str, str] | None:
        """The split and class of a file by its path below the source; None outside."""
        return self.places.get(_folder(name))

    def reason(self, name: str) -> str:
        """Why a file outside is left out."""
        return self.outside[_folder(name)]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def looks_like_image(name: str) -> bool:
    """Whether a file is called as images are."""
    return name.lower().endswith(_SUFFIXES)


def arrange(names: Sequence[str], *, classes: bool = True) -> Layout:
    """The layout of files by their paths below the source ("/" between folders); without `classes`, folders in a split mean nothing.

    Folders that hold files named as images decide; if there are none, all do. Raises `GanvasError` where splits would be mixed.
    """
    deciding = Counter(_folder(name) for name in names if looks_like_image(name)) or Counter(map(_folder, names))
    paths: dict[str, Path] = {folder: tuple(folder.split("/")) if folder else () for folder in map(_folder, names)}
    outside: dict[str, str] = {}
    paths = _unwrapped(paths, deciding, outside, stop_at_splits=True)
    paths, suffixed = _parted(paths, deciding)
    splits = _divide(paths, deciding, outside)
    rests = _unwrapped({folder: rest for folder, (_, rest) in splits.items()}, deciding, outside, stop_at_splits=False)
    placed = {folder: (splits[folder][0], rest if classes else ()) for folder, rest in rests.items()}
    layout = _classify(placed, deciding, outside)
    return replace(layout, suffixed=suffixed and layout.classes == TWO)


def suffixed(folder: str) -> Path | None:
    """('train', 'A') for a folder called 'trainA', 'train_A' or 'train-A', and so on for every word for a split; else None."""
    match = _SUFFIXED.fullmatch(folder)
    return (match["split"], match["domain"]) if match is not None and split_of(match["split"]) is not None else None


def _parted(paths: Mapping[str, Path], deciding: Counter[str]) -> tuple[dict[str, Path], bool]:
    """Paths with `trainA` written as `train/A` where some split has both domains, and whether one has."""
    found = {parts for folder, path in paths.items() if folder in deciding and path and (parts := suffixed(path[0]))}
    if not any((split, "B") in found for split, domain in found if domain == "A"):
        return dict(paths), False
    return {folder: (*(suffixed(path[0]) or path[:1]), *path[1:]) if path else path for folder, path in paths.items()}, True


def _unwrapped(paths: Mapping[str, Path], deciding: Counter[str], outside: dict[str, str], *, stop_at_splits: bool) -> dict[str, Path]:
    """Paths without the longest chain of folders that all deciding ones begin with, ending before a folder named as a split."""
    common: Path = ()
    held = [path for folder, path in paths.items() if folder in deciding]
    while held and len({path[: len(common) + 1] for path in held}) == 1 and len(held[0]) > len(common):
        following = held[0][len(common)]
        if any(len(path) == len(common) for path in held) or (stop_at_splits and split_of(following) is not None):
            break
        common = (*common, following)
    for folder, path in paths.items():
        if path[: len(common)] != common:
            outside[folder] = f"lies outside the folder '{shown('/'.join(common))}' that holds the images"
    return {folder: path[len(common) :] for folder, path in paths.items() if path[: len(common)] == common}


def _words(splits: Iterable[str | None]) -> tuple[str, ...]:
    return in_order(split for split in splits if split is not None)


def _divide(paths: Mapping[str, Path], deciding: Counter[str], outside: dict[str, str]) -> dict[str, tuple[str, Path]]:
    """Each folder's split, and what remains of its path."""
    held = [path for folder, path in paths.items() if folder in deciding]
    tops = _words(split_of(path[0]) for path in held if path)
    seconds = [split_of(path[1]) if len(path) > 1 else None for path in held]
    if not tops and (not seconds or None in seconds):
        for path in held:
            if _words(map(split_of, path)):
                raise GanvasError(
                    f"the folder '{shown('/'.join(path))}' is named as a split but lies among folders that are not: "
                    "pass the folder that the splits lie in, or rename it if it is a class"
                )
        return {folder: (UNDIVIDED, path) for folder, path in paths.items()}
    level, found = (0, tops) if tops else (1, _words(seconds))
    rests: dict[str, tuple[str, Path]] = {}
    for folder, path in paths.items():
        split = split_of(path[level]) if len(path) > level else None
        others = _words({split_of(part) for part in path[level + 1 :]} - {split})
        if split not in found or split is None:
            outside[folder] = f"lies outside the splits ({', '.join(found)})"
        elif others:
            outside[folder] = f"lies in two splits at once ({split} and {others[0]})"
        else:
            rests[folder] = (split, tuple(part for part in path if split_of(part) is None))
    return rests


def _classify(rests: Mapping[str, tuple[str, Path]], deciding: Counter[str], outside: dict[str, str]) -> Layout:
    named = {path[0] for folder, (_, path) in rests.items() if path and folder in deciding}
    splits = _words(split for folder, (split, _) in rests.items() if folder in deciding)
    places: dict[str, tuple[str, str]] = {}
    notes: list[str] = []
    for split in splits:
        members = {folder: path for folder, (there, path) in rests.items() if there == split}
        held = sum(deciding[folder] for folder, path in members.items() if path)
        loose = sum(deciding[folder] for folder, path in members.items() if not path)
        labelled = held > loose and len(named) > 1
        if held and loose and not labelled:
            notes.append(f"split {split}: folders are not classes, for there is only one, or as many images or more lie beside them")
        for folder, path in members.items():
            if labelled and (not path or path[0] not in named):
                outside[folder] = "lies beside the class folders and has no class"
            else:
                places[folder] = (split, path[0] if labelled else "")
    outside |= {folder: f"lies outside the splits ({', '.join(splits)})" for folder, (split, _) in rests.items() if split not in splits}
    classes = {label for _, label in places.values() if label}
    return Layout(splits, tuple(sorted(classes, key=natural)), places, outside, tuple(notes))


def natural(label: str) -> tuple[int, int, str]:
    """The order of class names: whole numbers by value, before all others."""
    return (0, int(label), label) if label.isascii() and label.isdigit() else (1, 0, label)
