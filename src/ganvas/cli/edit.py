"""Enlarge, redraw or animate a picture with a model of one image: super-resolution, paint, harmonise, edit, animate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from ganvas.cli.parse import parse
from ganvas.errors import require

if TYPE_CHECKING:
    from ganvas.run import Run

Task = Literal["super-resolution", "paint", "harmonise", "edit", "animate"]

WIDEN = {"harmonise": 7 / 250, "edit": 20 / 250}  # share of the longer side by which a mask grows (authors' code of SinGAN)


@dataclass(frozen=True, kw_only=True)
class Options:
    run: tyro.conf.Positional[Path]
    """A run directory."""
    task: tyro.conf.Positional[Task]
    """super-resolution: the picture with the detail of the image that was learnt. paint: a painting becomes an image. harmonise: an object
    that was put into the picture takes its texture. edit: moved parts grow together with what is around them. animate: a film near the
    image that was learnt."""
    input: tyro.conf.Positional[Path | None] = None
    """The picture; of super-resolution the image that was learnt unless given; of animate none."""
    out: Path
    """PATH.png; of animate PATH.gif, or a folder for one PNG each. Without --start paint, harmonise and edit also write PATH-starts.png,
    the results from each scale."""
    mask: Path | None = None
    """A picture that is white where harmonise and edit may change something; without it all of the picture."""
    widen: int | None = None
    """Pixels by which the mask is widened, and half as many by which its border is blurred; in proportion to the picture unless given."""
    start: int | None = None
    """The scale to start from: 1 is the coarsest and draws most anew. Without it 1, or the middle where there is a mask."""
    factor: float = 4.0
    """Of super-resolution: how many times larger."""
    frames: int = 40
    """Of animate: how many, before the film goes back."""
    rate: float = 10.0
    """Of animate: frames a second."""
    seed: int = 0
    """Of the noise."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or mps."""


def main(arguments: Sequence[str]) -> int:
    options = parse(Options, arguments, "edit", __doc__)
    _check(options)
    from ganvas.explore.editing import editor
    from ganvas.run import load

    run = load(options.run, device=options.device)
    editor(run)
    written = _animated(run, options) if options.task == "animate" else _pictures(run, options)
    print(f"{options.task}: {', '.join(map(str, written))}")
    return 0


def _check(options: Options) -> None:
    """Refuse, before anything is loaded, what does not go together."""
    task, masked = options.task, ("harmonise", "edit")
    require(options.mask is None or task in masked, f"--mask: {task} takes none; {' and '.join(masked)} do")
    require(options.widen is None or options.mask is not None, "--widen: there is no --mask to widen")
    require(options.start is None or task != "super-resolution", "--start: super-resolution always starts from the finest scale")
    if task == "animate":
        require(options.input is None, f"{options.input}: animate takes no picture, it moves the image that was learnt")
        require(options.out.suffix in ("", ".gif"), f"--out {options.out}: a film is written to PATH.gif, or to a folder (one PNG each)")
    else:
        require(
            options.input is not None or task == "super-resolution", f"{task} needs a picture: ganvas edit RUN {task} PICTURE --out PATH"
        )
        require(options.out.suffix == ".png", f"--out {options.out}: the result is written to PATH.png")
    if options.out.suffix:
        require(options.out.parent.is_dir(), f"--out {options.out}: the folder {options.out.parent} does not exist")
        require(not options.out.is_dir(), f"--out {options.out}: is a directory")
        own = options.input is not None and options.out.resolve() == options.input.resolve()
        require(not own, f"--out {options.out}: the picture would be overwritten; name another file")


def _animated(run: "Run", options: Options) -> list[Path]:
    from ganvas.explore import editing, writing

    if not options.out.suffix:
        writing.check(options.out, run.spec)
    frames = editing.animate(run, options.frames, start=options.start, seed=options.seed)
    if options.out.suffix:
        editing.save_film(frames, options.out, rate=options.rate)
    else:
        writing.write(frames, options.out, run.spec, title="")
    return [options.out]


def _pictures(run: "Run", options: Options) -> list[Path]:
    from ganvas.diagnostics.gallery import save_picture
    from ganvas.explore import editing
    from ganvas.explore.pictures import to_image

    if options.task == "super-resolution":
        given = editing.learnt(run) if options.input is None else editing.opened(run, options.input, scaled=False)
        save_picture(to_image(editing.enlarge(run, given, factor=options.factor, seed=options.seed)), options.out)
        return [options.out]
    assert options.input is not None
    given = editing.opened(run, options.input, scaled=True)
    mask = None
    if options.mask is not None:
        widen = round(WIDEN[options.task] * max(given.shape[:2])) if options.widen is None else options.widen
        mask = editing.opened_mask(options.mask, (given.shape[0], given.shape[1]), widen)
    made = editing.redraw(run, given, mask=mask, start=options.start, seed=options.seed)
    save_picture(to_image(made), options.out)
    if options.start is not None:
        return [options.out]
    sheet = options.out.with_name(f"{options.out.stem}-starts.png")
    save_picture(editing.sheet(given, editing.from_all_scales(run, given, mask=mask, seed=options.seed), run.entry.card.title), sheet)
    return [options.out, sheet]
