"""Train and resume: what the commands call, for use from Python."""

import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ganvas import catalog
from ganvas.data import few, first, maps, stacked
from ganvas.data.examples import Examples, digest_of
from ganvas.data.open import kind_of, open_data
from ganvas.diagnostics.attach import observers
from ganvas.diagnostics.progress import ScanProgress
from ganvas.diagnostics.report import REPORT
from ganvas.engine import ranks as peers
from ganvas.engine import rundir
from ganvas.engine.budget import images_for
from ganvas.engine.config import RunConfig, changed, from_json, to_json
from ganvas.engine.contract import GenerativeModel
from ganvas.engine.devices import Machine, bf16_able, find, make_deterministic, resolve
from ganvas.engine.draws import key
from ganvas.engine.loop import Plan, Trainer
from ganvas.engine.ranks import Ranks
from ganvas.errors import GanvasError, require
from ganvas.run import Networks, Run, build

Source = str | Path | torch.utils.data.Dataset[Any]

_PREFIXES = re.compile(
    rf"(?:hf:|{stacked.PREFIX}|(?:{few.PREFIX}|{first.PREFIX})\d+:|{maps.PREFIX}|task:[^:]+:)*"
)  # before a source's path or name

LOGGED = 500  # rows of training values in a run


def train(
    model: str,
    *,
    data: Source,
    preset: str = "quick",
    images: int | None = None,
    minutes: float | None = None,
    resolution: int | None = None,
    run: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    config: Mapping[str, Any] | None = None,
    options: RunConfig | None = None,
    networks: Networks | None = None,
    quiet: bool = False,
) -> Run:
    """Train a model of the catalog and return its run.

    `data` is what `--data` takes, or a map-style `Dataset` of images or (image, label) pairs. `config` changes single fields of the
    preset. `options` holds the rest of what the command line offers; `images`, `minutes`, `resolution`, `seed` and `device` given here
    win. `networks` are modules of your own by the names that the model's card lists; copies of them are trained. They are no part of the
    run directory, only their weights are. Raises `GanvasError` for wrong input, before anything is written.
    """
    given: dict[str, Any] = {"images": images, "minutes": minutes, "resolution": resolution}
    given |= {"seed": seed or None, "device": None if device == "auto" else device}
    settings = replace(options or RunConfig(), **{name: value for name, value in given.items() if value is not None})
    entry = catalog.open_model(model)
    preset = catalog.preset(entry, preset, kind_of(data))
    chosen = changed(entry.presets[preset], config or {}, "--config")
    where = find(settings.device, peers.local_rank())
    with peers.joined(where) as ranks:
        examples = _open(data, settings, ranks, quiet=quiet)
        points = examples.spec.kind == "points"
        machine = resolve(settings.device, settings.precision, settings.threads, points=points, local_rank=ranks.local)
        make_deterministic(machine.device)
        network = _build(entry, chosen, examples, settings.seed, networks, ranks)
        plan = _plan(settings, network, examples, machine, ranks)
        stored = {
            "format": 1,
            "model": model,
            "preset": preset,
            "config": to_json(chosen),
            "run": to_json(settings),
            "data": _data_facts(data, examples),
            "resolved": _resolved(machine, plan, ranks),
        }
        name = f"{model}-{_stem(data)}-{preset}"
        path = ranks.agree(_claim(run, name, stored) if ranks.first else None)
        session = _Session(Path(path), entry, data, stored, settings, plan, machine, ranks, networks)
        return session.play(network, examples, quiet=quiet, resume=False)


def resume(run: str | Path, *, data: Source | None = None, networks: Networks | None = None, quiet: bool = False) -> Run:
    """Continue a run exactly where its newest whole checkpoint left it, with the settings it was started with.

    `data` is needed only where training was given a `Dataset` object, `networks` only where it was given some. What cannot be as it was
    (device, precision, ranks, data, edited configuration) is refused with the difference.
    """
    path = Path(run)
    stored = rundir.read_config(path)
    where = str(path / rundir.CONFIG)
    entry = catalog.open_model(stored["model"])
    chosen = from_json(entry.config, stored["config"], where)
    settings = from_json(RunConfig, stored["run"], where)
    device = find(stored["resolved"]["device"], peers.local_rank())
    with peers.joined(device) as ranks:
        machine = _same_machine(stored["resolved"], device, ranks)
        make_deterministic(machine.device)
        source = stored["data"]["source"] if data is None else data
        examples = _open(source, settings, ranks, quiet=quiet)
        if examples.fingerprint != stored["data"]["fingerprint"]:
            raise GanvasError(f"{path}: the data {source} is not what the run was trained on (its content has changed); train anew")
        network = _build(entry, chosen, examples, settings.seed, networks, ranks)
        plan = replace(_plan(replace(settings, minutes=None, images=stored["resolved"]["images"]), network, examples, machine, ranks))
        session = _Session(path, entry, source, stored, settings, plan, machine, ranks, networks)
        return session.play(network, examples, quiet=quiet, resume=True)


@dataclass(frozen=True)
class _Session:
    """One process' part of a run."""

    path: Path
    entry: catalog.Entry
    data: Source
    stored: dict[str, Any]
    settings: RunConfig
    plan: Plan
    machine: Machine
    ranks: Ranks
    networks: Networks | None

    def play(self, network: GenerativeModel, examples: Examples, *, quiet: bool, resume: bool) -> Run:
        if not self.ranks.first:
            return self._run(network, examples, quiet=True, resume=resume)
        with rundir.owned(self.path):
            return self._run(network, examples, quiet=quiet, resume=resume)

    def _run(self, network: GenerativeModel, examples: Examples, *, quiet: bool, resume: bool) -> Run:
        card = replace(self.entry.card, conditions=network.conditions(self.entry.card.conditions))
        watching = self.ranks.first
        attached = observers(self.path, card, self.data, examples, self.settings, self.plan, quiet=quiet) if watching else {}
        identity = {name: self.stored[name] for name in ("model", "config", "resolved")}
        identity["run"] = {name: self.stored["run"].get(name) for name in ("seed", "split", "resolution", "accumulate", "compile")}
        identity["data"] = self.stored["data"]["fingerprint"]
        trainer = Trainer(
            network,
            examples,
            self.plan,
            self.machine,
            ranks=self.ranks,
            observers=attached,
            checkpoints=rundir.checkpoints(self.path, self.settings.keep),
            identity=identity,
        )
        found = trainer.restore() if resume else False
        say = _silent if quiet else _say
        if resume:
            say(
                f"resuming {self.path} at image {trainer.images:,}"
                if found
                else f"{self.path} has no checkpoint yet: starting from its configuration"
            )
        if trainer.done and (self.path / REPORT).exists():
            say(f"{self.path} is finished ({trainer.images:,} images)")
            return Run(self.path, networks=self.networks)
        if not resume:
            for line in (*examples.notes(), f"{self.machine.describe()}; {self.plan.budget:,} images; run directory {self.path}"):
                say(line)
        outcome = trainer.run()
        if outcome == "interrupted":
            say(f"interrupted at image {trainer.images:,}; the checkpoint is saved: continue with `ganvas resume {self.path}`")
            if (trainer.signal or trainer.signals.received) == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(128 + (trainer.signal or trainer.signals.received))
        return Run(self.path, networks=self.networks)


def _open(data: Source, settings: RunConfig, ranks: Ranks, *, quiet: bool) -> Examples:
    """Open the data; rank 0 goes first, so that it alone scans and fills the cache."""
    if not ranks.first:
        ranks.wait()
    progress = ScanProgress() if ranks.first and not quiet else None
    source = str(data) if isinstance(data, Path) else data
    examples = open_data(
        source,
        split=settings.split,
        resolution=settings.resolution,
        layout=settings.layout,
        verify=settings.verify,
        progress=progress,
    )
    if ranks.first:
        ranks.wait()
    return examples


def _build(entry: catalog.Entry, config: Any, examples: Examples, seed: int, networks: Networks | None, ranks: Ranks) -> GenerativeModel:
    torch.manual_seed(key("weights", seed))
    model = build(entry, config, examples.spec, networks)
    if networks is not None:
        digests = ranks.collect([digest_of(value) for value in model.state_dict().values()])
        require(digests.count(digests[0]) == len(digests), "networks: processes gave other first weights: seed torch before you make them")
    return model


def _plan(settings: RunConfig, model: GenerativeModel, examples: Examples, machine: Machine, ranks: Ranks) -> Plan:
    """The numbers of the run; a budget in minutes is measured here and becomes images."""
    stages = model.stages()
    budget = settings.images or sum(stage.images for stage in stages)
    plan = Plan(
        seed=settings.seed,
        budget=budget,
        save_every=settings.save_every or max(1, budget // 10),
        log_every=max(1, budget // LOGGED),
        accumulate=settings.accumulate,
        compile=settings.compile,
    )
    if settings.minutes is None:
        return plan
    budget = images_for(settings.minutes, model, examples, plan, machine, ranks)
    return replace(plan, budget=budget, save_every=settings.save_every or max(1, budget // 10), log_every=max(1, budget // LOGGED))


def _resolved(machine: Machine, plan: Plan, ranks: Ranks) -> dict[str, Any]:
    return {
        "images": plan.budget,
        "device": machine.device.type,
        "bf16": machine.bf16,
        "threads": machine.threads,
        "ranks": ranks.count,
    }


def _same_machine(resolved: Mapping[str, Any], device: torch.device, ranks: Ranks) -> Machine:
    """The machine a run was started on, or the difference as an error."""
    if ranks.count != resolved["ranks"]:
        raise GanvasError(f"the run was started with {resolved['ranks']} processes, now there are {ranks.count}: start as many")
    if resolved["bf16"] and not bf16_able(device):
        raise GanvasError(f"the run computes in bfloat16, which {device} does not: resume it on a machine that does")
    torch.set_num_threads(int(resolved["threads"]))
    return Machine(device=device, bf16=bool(resolved["bf16"]), threads=int(resolved["threads"]))


def _data_facts(data: Source, examples: Examples) -> dict[str, Any]:
    return {
        "source": _absolute(data),
        "split": examples.split,
        "count": len(examples),
        "fingerprint": examples.fingerprint,
        "notes": examples.notes(),
        "rejected": len(examples.rejected),
        "spec": examples.spec.to_json(),
    }


def _absolute(data: Source) -> str | None:
    """Where to find the data again from any working directory; None for a Dataset object."""
    if not isinstance(data, str | Path):
        return None
    found = _PREFIXES.match(str(data))
    prefix = found[0] if found else ""
    name = str(data).removeprefix(prefix)
    return prefix + (str(Path(name).resolve()) if name and Path(name).exists() else name)


def _stem(data: Source) -> str:
    name = Path(data).resolve().stem if isinstance(data, str | Path) else type(data).__name__.lower()
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name) or "data"


def _claim(run: str | Path | None, name: str, stored: Mapping[str, Any]) -> str:
    path = rundir.fresh_path(Path("runs"), name) if run is None else Path(run)
    rundir.create(path, stored)
    return str(path)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _silent(line: str) -> None:
    """For callers that asked for quiet."""
