"""`report.html`: one self-contained page that shows and explains a run, finished or not. It opens offline and escapes every name."""

import copy
import json
import re
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ganvas import catalog
from ganvas.data.batch import DataSpec
from ganvas.diagnostics import diversity, explain, neighbours
from ganvas.diagnostics.curves import curves_figure, curves_svgs, over_images_and_time, svgs
from ganvas.diagnostics.gallery import GRID, INTERPOLATION, save_bytes
from ganvas.diagnostics.game import Game, Network, describe
from ganvas.diagnostics.page import Markup, document, figure, film, joined, paragraphs, prose, table, tag
from ganvas.diagnostics.progress import duration
from ganvas.diagnostics.recorder import DEVICE_ENERGY, ENERGY
from ganvas.diagnostics.rows import RowDict, of_kind, read_rows
from ganvas.engine.config import RunConfig, from_json, to_json
from ganvas.engine.contract import GenerativeModel
from ganvas.engine.observers import Observer, Row, Verdict
from ganvas.engine.rundir import CONFIG, ENVIRONMENT, METRICS, SAMPLES, read_config

if TYPE_CHECKING:
    from ganvas.engine.loop import Trainer

REPORT, CURVES = "report.html", "curves.png"
FRAMES = 24  # pictures in the film; more are thinned evenly
GRIDS, SURFACES = "images", "surface"  # what the names of frames begin with


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the report is made of."""

    path: Path
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    rows: list[RowDict]
    entry: catalog.Entry
    spec: DataSpec
    game: Game
    frames: tuple[tuple[int, Path], ...]
    surfaces: tuple[tuple[int, Path], ...]

    @property
    def train(self) -> list[RowDict]:
        return of_kind(self.rows, "train")

    @property
    def evaluations(self) -> list[RowDict]:
        return of_kind(self.rows, "evaluate")

    @property
    def budget(self) -> int:
        return int(self.settings["resolved"]["images"])

    @property
    def images(self) -> int:
        """Training images seen, as far as anything was logged or drawn."""
        return max([0, *(int(row["images"]) for row in self.train[-1:]), *(images for images, _ in self.frames[-1:])])

    def sample(self, name: str) -> Path | None:
        """A picture of the run if it is there."""
        path = self.path / SAMPLES / name
        return path if path.is_file() else None


def write_report(run: Path, model: GenerativeModel | None = None) -> Path:
    """Write `report.html` and `curves.png` from what the run holds so far; return the report's path. Raises `GanvasError` for no run.

    `model` is the run's, if it is at hand: what cannot be built from the configuration alone is described by a copy of it.
    """
    facts = read_facts(run, model)
    title = f"{facts.entry.card.title} on {_source(facts)}"
    parts = (heading(facts, title), *(section(facts) for section in SECTIONS))
    if facts.train:
        save_bytes(curves_figure(facts.rows, title=title, watched=facts.game.watched), run / CURVES)
    save_bytes(document(title, joined(parts)).encode("utf-8"), run / REPORT)
    return run / REPORT


def read_facts(run: Path, model: GenerativeModel | None = None) -> Facts:
    """Read a run directory and build its model once for its facts; where a user may have given networks, `model` is copied."""
    settings = read_config(run)
    entry = catalog.open_model(settings["model"])
    spec = DataSpec.from_json(settings["data"]["spec"])
    if model is not None and entry.card.networks:
        built = copy.deepcopy(model).cpu()
    else:
        built = entry.model(from_json(entry.config, settings["config"], str(run / CONFIG)), spec)
    try:
        environment = json.loads((run / ENVIRONMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        environment = {}  # the report can do without
    return Facts(
        path=run,
        settings=settings,
        environment=environment,
        rows=read_rows(run / METRICS),
        entry=entry,
        spec=spec,
        game=describe(built, spec, int(settings["resolved"]["images"])),
        frames=_frames(run / SAMPLES, GRIDS),
        surfaces=_frames(run / SAMPLES, SURFACES),
    )


def _frames(folder: Path, series: str) -> tuple[tuple[int, Path], ...]:
    """(images, picture) in order, of the files that are named `series` and a number."""
    names = sorted(path.name for path in folder.glob(f"{series}-*.png")) if folder.is_dir() else []
    return tuple((int(match[1]), folder / name) for name in names if (match := re.fullmatch(rf"{series}-(\d{{12}})\.png", name)))


def _source(facts: Facts) -> str:
    source = facts.settings["data"].get("source")
    return Path(str(source)).name or str(source) if source is not None else "a data set given in Python"


def heading(facts: Facts, title: str) -> Markup:
    card = facts.entry.card
    model = f"{card.title} ({card.year}) is a model of the {card.family} family. It teaches {card.teaches}. Paper: {card.paper}."
    share = facts.images / facts.budget
    state = "finished" if share >= 1 else f"{share:.0%} of the run"
    numbers = [(f"{facts.images:,}", f"{facts.spec.kind} seen ({state})"), (f"{facts.game.parameters:,}", "parameters")]
    if facts.train:
        numbers.append((duration(float(facts.train[-1]["seconds"])), "training time"))
        speeds = [row["images_per_second"] for row in facts.train if row.get("images_per_second")]
        numbers += [(f"{statistics.median(speeds):,.0f}", f"{facts.spec.kind}/s (median)")] if speeds else []
    energy = _energy(facts)
    numbers += [(_joules(sum(energy.values())), "energy, as the machine tells")] if energy else []
    if facts.evaluations:
        values = facts.evaluations[-1].get("values", {})
        numbers += [(_number(values[name]), name) for name in list(values)[:1]]
    cards = tag("div", *(tag("div", tag("b", number), tag("span", what)) for number, what in numbers), kind="facts")
    return joined((tag("h1", title), tag("p", model, kind="faint"), cards))


def samples(facts: Facts) -> Markup:
    latest = facts.frames[-1][1] if facts.frames else None
    grid, paths = facts.sample(GRID) or latest, facts.sample(INTERPOLATION)
    if grid is None:
        return joined((tag("h2", "Samples"), tag("p", "None were drawn yet.", kind="faint")))
    shown = [figure(grid, "Samples of the averaged weights, where the model has an average.")]
    if paths is not None:
        shown.append(figure(paths, "Between codes: how samples change on the way from one random code to another."))
    return joined((tag("h2", "Samples"), tag("div", *shown, kind="pictures")))


def over_time(facts: Facts) -> Markup:
    if len(facts.frames) < 2:
        return Markup("")
    words = "The same inputs all the way: what changes is the model. The arrow keys move the slider."
    return joined((tag("h2", "The run as a film"), tag("p", words), _film(facts, facts.frames)))


def _film(facts: Facts, frames: Sequence[tuple[int, Path]]) -> Markup:
    """Frames, thinned evenly where there are many."""
    last = len(frames) - 1
    chosen = sorted({round(i * last / min(last, FRAMES - 1)) for i in range(min(last, FRAMES - 1) + 1)}) if last else [0]
    return film([(frames[i][1], f"after {frames[i][0]:,} {facts.spec.kind}") for i in chosen])


def surfaces(facts: Facts) -> Markup:
    if not facts.surfaces:
        return Markup("")
    return joined((tag("h2", "What the critic sees"), paragraphs((explain.SURFACE,)), _film(facts, facts.surfaces)))


def nearest(facts: Facts) -> Markup:
    path, rows = facts.sample(neighbours.PICTURE), of_kind(facts.rows, neighbours.KIND)
    if path is None or not rows:
        return Markup("")
    row = rows[-1]
    number, total = int(row["searched"]), int(row["examples"])
    among = f"all {total:,} training images" if number == total else f"{number:,} of {total:,} training images, spread evenly"
    side = f"images reduced to at most {int(row['side'])} pixels a side"
    said = f"Searched among {among}, comparing {side}; differences are root mean squares in grey levels of 0 to 255."
    values = row.get("values", {})
    medians = (
        f"In the middle (median), a sample differs by {_number(values.get('samples'))} from the training image nearest to it, "
        f"a training image by {_number(values.get('data'))} from the one nearest to it."
    )
    return joined((tag("h2", "Nearest training images"), figure(path, said), paragraphs((medians, explain.NEIGHBOURS))))


def curves(facts: Facts) -> Markup:
    if not facts.train:
        return joined((tag("h2", "Curves"), tag("p", "Nothing was logged yet.", kind="faint")))
    words = explain.curves(facts.entry.card, adversarial=facts.game.adversarial)
    notes = explain.model_notes(facts.entry.name)
    reading = (
        tag("h3", "How to read them"),
        paragraphs(words),
        tag("h3", f"About {facts.entry.card.title}") if notes else "",
        paragraphs(notes),
    )
    return joined((tag("h2", "Curves"), _panels(curves_svgs(facts.train, watched=facts.game.watched)), *reading))


def _panels(drawn: Sequence[str], kind: str = "curves") -> Markup:
    return tag("div", *(Markup(svg) for svg in drawn), kind=kind)


def quality(facts: Facts) -> Markup:
    drawn = over_images_and_time(facts.rows)
    if not drawn:
        return Markup("")
    rows = of_kind(facts.rows, diversity.KIND)
    single = any(diversity.VARIATION in row.get("values", {}) for row in rows)
    words = [explain.VARIATION if single else explain.DIVERSITY] if rows else []
    words += [explain.DISTANCE] if facts.evaluations else []
    return joined((tag("h2", "Diversity and distance"), _panels(svgs(drawn), "curves pairs"), paragraphs(words)))


def evaluation(facts: Facts) -> Markup:
    rows = facts.evaluations
    if not rows:
        text = (
            "None while this run was trained: `ganvas train --evaluate-every N` shows here how samples compare with held-out data, and "
            "`ganvas evaluate` prints it."
        )
        return joined((tag("h2", "Evaluation"), tag("p", prose(text), kind="faint")))
    names = list(dict.fromkeys(name for row in rows for name in row.get("values", {})))
    protocols = [_flat(row.get("protocol", {})) for row in rows]
    shared = {key: value for key, value in protocols[-1].items() if all(protocol.get(key) == value for protocol in protocols)}
    lines = []
    for row, protocol in zip(rows, protocols, strict=True):
        own = "; ".join(f"{key}: {value}" for key, value in protocol.items() if key not in shared)
        lines.append([f"{row['images']:,}", *(_number(row.get("values", {}).get(name)) for name in names), own])
    parts = [tag("h2", "Evaluation"), table([facts.spec.kind, *names, "protocol"], lines, numbers=range(len(names) + 1))]
    parts += [tag("h3", "Protocol of all rows"), table([], shared.items())] if shared else []
    shares = rows[-1].get("shares") or {}
    if shares:
        parts += [tag("h3", "Share of samples in each class"), table(list(shares), [[f"{share:.3f}" for share in shares.values()]])]
    known = explain.metrics(names)
    return joined((*parts, table([], [(name, prose(meaning)) for name, meaning in known]) if known else ""))


def game(facts: Facts) -> Markup:
    parts: list[Markup] = [tag("h2", "The game")]
    stages = facts.game.stages
    for stage in stages:
        length = f"until {stage.end:,} {facts.spec.kind} are seen, in batches of {stage.batch}"
        parts.append(tag("h3", f"{stage.name}: {length}") if len(stages) > 1 else tag("p", f"One stage, played {length}."))
        head = ("phase", "trains", "minimises", "watches", "optimizer", "played")
        rows = [(p.name, ", ".join(p.trains), ", ".join(p.terms), ", ".join(p.watched), p.optimizer, p.turn) for p in stage.phases]
        parts.append(table(head, rows))
    total = f"{facts.game.parameters:,} parameters in all."
    parts += [tag("h3", "Networks"), tag("p", total), *(_network(network) for network in facts.game.networks)]
    return joined(parts)


def _network(network: Network) -> Markup:
    rows = [
        (
            layer.name,
            layer.kind,
            ", ".join(_shape(weight) for weight in layer.weights),
            _shape(layer.output) if layer.output is not None else "",
        )
        for layer in network.layers
    ]
    title = f"{network.name} ({network.kind}): {network.parameters:,} parameters"
    return tag("details", tag("summary", title), table(("layer", "kind", "weights", "output for one example"), rows))


def configuration(facts: Facts) -> Markup:
    entry, settings = facts.entry, facts.settings
    model, model_changed = _options(entry.config, settings["config"])
    run, run_changed = _options(RunConfig, settings["run"])
    words = f"Preset {settings.get('preset', 'unknown')}. Values that differ from the paper's are marked."
    parts = (
        tag("h2", "Configuration"),
        tag("p", words),
        table(("model", "value", "default", "meaning"), model, changed=model_changed),
        tag("h3", "Run"),
        table(("option", "value", "default", "meaning"), run, changed=run_changed),
    )
    return joined(parts)


def _options(kind: type, stored: Mapping[str, Any]) -> tuple[list[Sequence[str]], list[int]]:
    """(field, value, default, meaning) of a settings object, and the numbers of the rows that differ from the default."""
    defaults, notes = to_json(kind()), explain.field_notes(kind)
    names = [*(name for name in defaults if name in stored), *(name for name in stored if name not in defaults)]
    rows: list[Sequence[str]] = [(name, _words(stored[name]), _words(defaults.get(name)), prose(notes.get(name, ""))) for name in names]
    return rows, [i for i, name in enumerate(names) if stored[name] != defaults.get(name)]


def data(facts: Facts) -> Markup:
    about, spec = facts.settings["data"], facts.spec
    rows = [
        ("source", str(about.get("source") or "a data set given in Python")),
        ("split", str(about.get("split", "unknown"))),
        ("examples", _words(about.get("count"))),
        ("rejected files", _words(about.get("rejected", "not recorded"))),
        ("kind", f"{spec.kind} {_shape(spec.shape)}"),
        ("classes", ", ".join(spec.classes) or "none"),
        ("fingerprint", str(about.get("fingerprint", "unknown"))),
    ]
    return joined((tag("h2", "Data"), table([], rows), *(tag("p", str(note), kind="faint") for note in about.get("notes", ()))))


def cost(facts: Facts) -> Markup:
    rows: list[tuple[str, str]] = []
    if facts.train:
        seconds = float(facts.train[-1]["seconds"])
        rows.append(("training time", f"{duration(seconds)} ({seconds:,.1f} s)"))
        rows += [(f"{facts.spec.kind} a second, all in all", f"{facts.train[-1]['images'] / seconds:,.0f}")] if seconds > 0 else []
        for key, title in (("memory_mb", "peak memory of the process"), ("device_memory_mb", "peak memory of the device")):
            peaks = [row[key] for row in facts.train if row.get(key)]
            rows += [(title, f"{max(peaks):,} MB")] if peaks else []
        energy = _energy(facts)
        rows += [(f"energy of the {part}", _joules(value)) for part, value in energy.items()] or [("energy", "the machine does not tell")]
        note = tag("p", explain.ENERGY, kind="faint") if energy else Markup("")
    else:
        note = tag("p", "Nothing was logged yet.", kind="faint")
    machine = [(name, _words(value)) for part in (facts.settings["resolved"], facts.environment) for name, value in part.items()]
    return joined((tag("h2", "Cost"), table([], rows), note, tag("h3", "Machine"), table([], machine)))


def _energy(facts: Facts) -> dict[str, float]:
    """Joules by part of the machine; those that tell."""
    last = facts.train[-1] if facts.train else {}
    return {part: float(last[key]) for key, part in ((ENERGY, "processor"), (DEVICE_ENERGY, "device")) if last.get(key)}


def _joules(value: float) -> str:
    return f"{value:,.0f} J" if value < 36_000 else f"{value / 3.6e6:,.3g} kWh"


def commands(facts: Facts) -> Markup:
    path, source = shlex.quote(str(facts.path)), shlex.quote(str(facts.settings["data"].get("source") or "SOURCE"))
    lines = [f"ganvas sample {path} --count 100 --out samples.png"]
    latent = "latent" in facts.entry.card.capabilities and set(facts.entry.card.conditions) <= {"labels"}
    lines.append(f"ganvas interpolate {path} --out interpolation.png" if latent else f"ganvas sample {path} --count 1000 --out samples.npz")
    lines.append(f"ganvas evaluate {path} --data {source}")
    if facts.images < facts.budget:
        lines.insert(0, f"ganvas resume {path}")
    return joined((tag("h2", "Next"), tag("pre", "\n".join(lines))))


Section = Callable[[Facts], Markup]
SECTIONS: Sequence[Section] = (
    samples,
    over_time,
    surfaces,
    nearest,
    curves,
    quality,
    evaluation,
    game,
    configuration,
    data,
    cost,
    commands,
)


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "1"


def _flat(protocol: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """A protocol's entries as "group: entry" -> value; hashes are cut, as they only tell one from another."""
    found: dict[str, str] = {}
    for name, value in protocol.items():
        key = f"{above}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            found |= _flat(value, f"{key}: ")
        else:
            found[key] = _words(value)[:12] if name in ("hash", "fingerprint") else _words(value)
    return found


def _number(value: object) -> str:
    """Counts as they are, other numbers with four digits; a dash for what is not there."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "-" if value is None else str(value)
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"


def _words(value: object) -> str:
    """A JSON value on one line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{str(name).replace('_', ' ')}: {_words(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_words(item) for item in value) or "()"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return _number(value)


@final
class ReportObserver(Observer):
    """Writes the report when a run ends, unless it was interrupted."""

    def __init__(self, run: Path) -> None:
        self._run = run

    def start(self, trainer: "Trainer") -> None:
        return None

    def after_step(self, trainer: "Trainer", row: Row | None) -> Verdict:
        return Verdict.GO_ON

    def finish(self, trainer: "Trainer", outcome: str) -> None:
        if outcome != "interrupted":
            write_report(self._run, trainer.averaged.model)

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        return None
