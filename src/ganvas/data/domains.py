"""Which pictures of a folder or zip are two domains, and which of them belong together. Decided from names alone.

`trainA trainB testA testB` are two domains that are not aligned, whatever their files are called. `A B`, at the top or inside the folders
of splits, are aligned if both hold the same file names but for the endings, as twin folders do, and otherwise not. Pictures that hold a
pair side by side look like any others: they are told by the arrangement `left-right` or `right-left` alone. The notes say what was found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ganvas.data.arrangement import Arrangement
from ganvas.data.layout import TWO, Layout, looks_like_image, suffixed
from ganvas.data.words import counted, shown
from ganvas.errors import GanvasError


@dataclass(frozen=True)
class Domains:
    """Two domains by `names`; `how` they were told, in words.

    `partners`: of aligned folders, the file that each file belongs to. `halves`: 0 if both domains are halves of the same pictures and the
    left one is the first, 1 if it is the second; None if the domains are folders.
    """

    names: tuple[str, str]
    aligned: bool
    how: str
    partners: Mapping[str, str] = field(default_factory=dict)
    halves: int | None = None


def domains_of(source: str, names: Sequence[str], layout: Layout, arrangement: Arrangement) -> Domains | None:
    """The two domains among the files `names` that lie as `layout` says; None for single images. `GanvasError` if none are as asked."""
    if arrangement == "images" or (arrangement == "auto" and layout.classes != TWO):
        return None
    if arrangement in ("left-right", "right-left"):
        sides = ("left", "right") if arrangement == "left-right" else ("right", "left")
        return Domains(sides, True, "pairs side by side in one picture", halves=int(sides[0] == "right"))
    if len(layout.classes) != 2:
        there = f"it has {', '.join(map(shown, layout.classes[:10]))}" if layout.classes else "it has none"
        raise GanvasError(f"'{source}': --layout {arrangement} needs two folders, such as A and B or trainA and trainB; {there}")
    first, second = layout.classes
    if arrangement == "unpaired":
        return Domains((first, second), False, "not aligned, as --layout says")
    if arrangement == "auto" and layout.suffixed:
        return Domains((first, second), False, "not aligned, as folders named by split and domain are")
    files = _sides(names, layout)
    odd = _odd_one(files, (first, second))
    partners = _partners(source, files, (first, second)) if arrangement == "pairs" or not odd else {}
    if arrangement == "pairs":
        return Domains((first, second), True, "aligned pairs by file name", partners)
    if odd:
        return Domains((first, second), False, f"not aligned, for {odd}; --layout pairs takes what is in both")
    return Domains((first, second), True, "aligned pairs by equal file names; --layout unpaired if they do not belong together", partners)


Sides = dict[str, dict[str, list[str]]]
"""Files by domain and by what both halves of a pair are called."""


def _sides(names: Sequence[str], layout: Layout) -> Sides:
    sides: Sides = {domain: {} for domain in layout.classes}
    called = any(map(looks_like_image, names))
    for name in names:
        place = layout.place(name)
        if place is not None and place[1] in sides and (looks_like_image(name) or not called):
            sides[place[1]].setdefault(f"{place[0]}/{_key(name, place[1])}", []).append(name)
    return sides


def _key(name: str, domain: str) -> str:
    """A file's path without its domain's folder and its ending: what the other half of its pair is called, too."""
    folders = name.split("/")
    at = next(i for i, folder in enumerate(folders) if folder == domain or (suffixed(folder) or ("", ""))[1] == domain)
    stem, dot, ending = folders[-1].rpartition(".")
    return "/".join([*folders[:at], *folders[at + 1 : -1], stem if dot else ending])


def _odd_one(sides: Sides, domains: tuple[str, str]) -> str:
    """A file that keeps the two sides from being twins, in words, or ""."""
    for domain, other in (domains, domains[::-1]):
        for key, files in sides[domain].items():
            if key not in sides[other] or len(files) > 1:
                return f"'{shown(files[0])}' has " + (f"no partner in {shown(other)}" if len(files) == 1 else "a namesake")
    return ""


def _partners(source: str, sides: Sides, domains: tuple[str, str]) -> dict[str, str]:
    partners: dict[str, str] = {}
    for key in sorted(sides[domains[0]].keys() & sides[domains[1]].keys()):
        files = [sides[domain][key] for domain in domains]
        twice = next((names for names in files if len(names) > 1), None)
        if twice is not None:
            raise GanvasError(f"'{source}': '{shown(twice[0])}' and '{shown(twice[1])}' would be the same half of a pair: rename one")
        partners |= {files[0][0]: files[1][0], files[1][0]: files[0][0]}
    if not partners:
        example = next(iter(sides[domains[0]].values()), ["?"])[0]
        raise GanvasError(
            f"'{source}': no file of {shown(domains[0])} has its name in {shown(domains[1])} ('{shown(example)}' has none): "
            "pairs are told by equal names; if there are none, say --layout unpaired"
        )
    return partners


def described(domains: Domains, counts: Sequence[int], shapes: Sequence[str]) -> str:
    """'5 images of 8 x 8 pixels, grey in A and 3 images of 8 x 8 pixels, colour in B'."""
    named = zip(domains.names, counts, shapes, strict=True)
    return " and ".join(f"{counted(count, 'image')} of {shape} in {shown(name)}" for name, count, shape in named)
