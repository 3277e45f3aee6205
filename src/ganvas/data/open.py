"""From what a user names to the examples a run trains on.

A source is the name of a built-in set (`digits`, `inked`, `inked-pairs`, `ring`, `grid`, `spiral`, `two-cities`, `china`, `flower`), the
path of a folder of IDX files, of a folder or zip of images, of a single image, `hf:` and the name or path of a data set that the `datasets`
library reads (see `hub`), `stacked:` and another source of grey classes (see `stacked`), `few:100:` and another source of classes, whose
training split then keeps 100 labels (see `few`), `first:500:` and another source of images, whose training split then has 500 (see
`first`), `task:denoise:` and another source of images, which then come in pairs with spoiled ones (see `tasks`), `maps:` and another
source of pairs whose first pictures are label maps (see `maps`), or in Python a `torch.utils.data.Dataset` (see `user`). A folder called
like a built-in set is reached as `./digits`.

Folders of images are splits and classes (see `layout`) or two domains (see `domains`); a table beside the images gives labels or
attributes (see `tables`).
"""

import os
import zipfile
from pathlib import Path
from typing import get_args

from torch.utils.data import Dataset

from ganvas.data import digits, few, first, idx, inked, maps, points, stacked, tasks
from ganvas.data.arrangement import Arrangement
from ganvas.data.examples import Examples
from ganvas.data.progress import Progress, Silent
from ganvas.data.source import Request, Source
from ganvas.data.words import shown
from ganvas.errors import GanvasError, nearest, require

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
PHOTOS = ("china", "flower")
BUILT_IN = ("digits", *inked.NAMES, *points.NAMES, *PHOTOS)


def open_data(
    source: str | os.PathLike[str] | Dataset,
    *,
    split: str | None = "train",
    resolution: int | None = None,
    layout: Arrangement = "auto",
    verify: bool = False,
    progress: Progress | None = None,
) -> Examples:
    """The examples of one split of `source`.

    split:      "train", "val" or "test" (and what else means one of them: "t10k", "validation"). A source without splits answers to
                "train", "all" and None; None otherwise means the only split there is. Splits are never mixed.
    resolution: side in pixels of square images: resized so that the shorter side fits, and cropped at the centre; None keeps the native
                size (the commonest of the training split, if there are several).
    layout:     what the pictures of a folder or zip are to each other: "auto", "images", "pairs", "unpaired", "left-right" or "right-left"
                (see `arrangement`).
    verify:     compare the bytes of every file with the scan cache, instead of size and time of change alone.

    Raises `GanvasError` for a source that does not exist, is of no known kind, has no usable example, or lacks the split.
    """
    found = find(source, layout)
    request = Request(resolution=resolution, verify=verify, progress=progress or Silent())
    return found.open(found.choose(split), request)


def splits(source: str | os.PathLike[str] | Dataset) -> tuple[str, ...]:
    """The splits of a source in the order train, val, test; ("all",) if it is one undivided set."""
    return find(source).splits()


def evaluation_split(source: str | os.PathLike[str] | Dataset) -> str:
    """The split to evaluate on: "test", else "val", else the only one or the undivided set (then the caller has to say so)."""
    there = splits(source)
    return next((split for split in ("test", "val") if split in there), there[0])


def kind_of(source: str | os.PathLike[str] | Dataset) -> str:
    """The kind of data a source holds, told by its name without opening it: "points" for the built-in points, else "images"."""
    return "points" if isinstance(source, str) and source in points.NAMES else "images"


def find(source: str | os.PathLike[str] | Dataset, layout: Arrangement = "auto") -> Source:
    """The source that is meant; `GanvasError` says what is wrong with a name, a path or a layout."""
    known = get_args(Arrangement)
    require(layout in known, f"--layout {layout}: choose {', '.join(known[:-1])} or {known[-1]}.{nearest(str(layout), known)}")
    found = _find(source, layout)
    if layout != "auto" and found.arrangement != layout:
        raise GanvasError(f"--layout {layout} tells how the pictures of a folder or zip of images belong together; '{found.name}' is none")
    return found


def _find(source: str | os.PathLike[str] | Dataset, layout: Arrangement) -> Source:
    if isinstance(source, Dataset):
        from ganvas.data.user import UserSource

        return UserSource(source)
    if not isinstance(source, str | os.PathLike):
        raise GanvasError(f"data must be the name of a built-in set, a path or a torch.utils.data.Dataset, not {type(source).__name__}")
    name = os.fspath(source)
    if name == "digits":
        return digits.DigitSource()
    if name in points.NAMES:
        return points.PointSource(name)
    if name in inked.NAMES:
        return inked.InkedSource(name)
    if name in PHOTOS:
        from ganvas.data.photo import PhotoSource, built_in

        return PhotoSource(name, built_in(name))
    derived = _derived(name, layout)
    if derived is not None:
        return derived
    if name.startswith("hf:"):
        from ganvas.data.hub import hub_source

        return hub_source(name)
    return _at(name, Path(name).expanduser(), layout)


def _derived(name: str, layout: Arrangement) -> Source | None:
    """The source of a name that says what is made of another source; None for other names."""
    if name.startswith(stacked.PREFIX):
        inner = name.removeprefix(stacked.PREFIX)
        require(not inner.startswith(stacked.PREFIX), f"'{name}': a source is stacked once")
        require(not inner.startswith(few.PREFIX), f"'{name}': what is stacked needs all its labels; say few:N:stacked:SOURCE")
        require(not inner.startswith(tasks.PREFIX), f"'{name}': grey images with classes are stacked, not pairs")
        return stacked.StackedSource(name, _find(inner, layout))
    if name.startswith(few.PREFIX):
        count, inner = few.divided(name)
        require(not inner.startswith((few.PREFIX, tasks.PREFIX)), f"'{name}': labels are taken away once, and of images with labels")
        return few.FewSource(name, count, _find(inner, layout))
    if name.startswith(first.PREFIX):
        count, inner = first.divided(name)
        require(not inner.startswith(first.PREFIX), f"'{name}': images are counted once")
        made = inner.startswith((few.PREFIX, tasks.PREFIX))
        require(not made, f"'{name}': images are counted before anything is made of them; say {inner.partition(':')[0]}:...:first:N:SOURCE")
        return first.FirstSource(name, count, _find(inner, layout))
    if name.startswith(tasks.PREFIX):
        title, strength, inner = tasks.divided(name)
        require(not inner.startswith((tasks.PREFIX, few.PREFIX)), f"'{name}': pairs are made of images alone; name the source itself")
        return tasks.TaskSource(name, title, strength, _find(inner, layout))
    if name.startswith(maps.PREFIX):
        inner = name.removeprefix(maps.PREFIX)
        require(bool(inner), f"'{name}': name a source of pairs after it, as in {maps.PREFIX}facades/")
        require(not inner.startswith(maps.PREFIX), f"'{name}': label maps are told once; say {inner}")
        return maps.MapSource(name, _find(inner, layout))
    return None


def _at(name: str, path: Path, layout: Arrangement) -> Source:
    said = shown(name)
    try:
        is_folder, is_file, there = path.is_dir(), path.is_file(), bool(name) and path.exists()
    except OSError as error:  # a path that is too long, or through a folder that may not be entered
        raise GanvasError(f"'{said[:200]}' is not a usable path: {error.strerror}") from None
    if not there:
        built_in = f"it is neither built in ({', '.join(BUILT_IN)}) nor the path of a folder or zip"
        raise GanvasError(f"there is no data source '{said}': {built_in}.{nearest(name, BUILT_IN)}")
    if is_folder:
        files = idx.find(path)
        if files:
            return idx.IdxSource(name, files)
        from ganvas.data.images import image_source  # needs Pillow, which the sources above do without

        return image_source(name, path, archive=False, arrangement=layout)
    if not is_file:
        raise GanvasError(f"'{said}' is neither a folder nor a file: pass a folder or a zip archive")
    if not os.access(path, os.R_OK):
        raise GanvasError(f"'{said}' cannot be read: permission denied")
    if path.suffix.lower() in PICTURES:
        from ganvas.data.photo import PhotoSource

        return PhotoSource(name, path)
    if not zipfile.is_zipfile(path):
        hint = "pass the folder it lies in" if "ubyte" in path.name else "pass a folder, a zip of images, an image, or a built-in set"
        raise GanvasError(f"'{said}' is a file but not a zip archive: {hint} ({', '.join(BUILT_IN)})")
    from ganvas.data.images import image_source

    return image_source(name, path, archive=True, arrangement=layout)
