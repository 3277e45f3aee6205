"""A trained (or half-trained) run, opened for use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ganvas import catalog
from ganvas.data.batch import DataSpec
from ganvas.data.examples import Examples
from ganvas.data.open import evaluation_split, open_data
from ganvas.engine import rundir
from ganvas.engine.averages import load_tensors
from ganvas.engine.capabilities import AnySize, Truncate
from ganvas.engine.config import from_json
from ganvas.engine.contract import GenerativeModel
from ganvas.engine.devices import find
from ganvas.engine.draws import SampleDraws, key
from ganvas.engine.sampling import draw, interpolate
from ganvas.engine.state import model_tensors
from ganvas.errors import GanvasError, require

NEEDS = {
    "target": "data of two domains (folders trainA and trainB, or pairs side by side)",
    "aligned": "pairs of images that belong together (side by side, or task:denoise:SOURCE)",
    "palette": "pairs whose first pictures are label maps (maps:FOLDER)",
    "labelled": "few labels beside images without (few:100:SOURCE)",
    "labels": "data with labels (one folder per class, IDX files, or a table)",
    "single": "a single image (the path of one picture)",
}


Networks = Mapping[str, torch.nn.Module]


def build(entry: catalog.Entry, config: Any, spec: DataSpec, networks: Networks | None = None) -> GenerativeModel:
    """The model of a catalog entry for data of a kind it takes; otherwise an error that says what it takes.

    `networks` are a user's own, by the names that the card lists: all of them or none.
    """
    wanted = " or ".join(entry.card.data)
    require(spec.kind in entry.card.data, f"{entry.name} takes {wanted}; this data is {spec.kind}")
    for view in entry.card.needs:
        require(spec.has(view), f"{entry.name} needs {NEEDS.get(view, f'data with {view}')}; this data has none")
    model: GenerativeModel = entry.model(config, spec) if networks is None else entry.model(config, spec, _checked(entry, networks))
    return model


def _checked(entry: catalog.Entry, networks: Networks) -> Networks:
    """The networks, if they are those that the model takes."""
    names, takers = entry.card.networks, [name for name in catalog.names() if catalog.card(name).networks]
    require(bool(names), f"networks: {entry.name} has its own; models that take yours: {', '.join(takers)}")
    listed = " and ".join(f"'{name}'" for name in names)
    require(set(networks) == set(names), f"networks: {entry.name} takes {listed}, not {', '.join(networks) or 'none'}")
    for name, network in networks.items():
        good = isinstance(network, torch.nn.Module)
        require(good, f"networks: '{name}' must be a torch.nn.Module, not {type(network).__name__}")
    return networks


@final
@dataclass(frozen=True)
class Run:
    """A run directory. Its model is loaded when first needed, from the newest checkpoint that is whole, with averaged weights; where there
    is a `truncation`, with codes whose entries are at most so large."""

    path: Path
    device: str = "cpu"
    truncation: float | None = None
    networks: Networks | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The contents of `config.json`."""
        return rundir.read_config(self.path)

    @cached_property
    def entry(self) -> catalog.Entry:
        return catalog.open_model(self.settings["model"])

    @cached_property
    def spec(self) -> DataSpec:
        return DataSpec.from_json(self.settings["data"]["spec"])

    @cached_property
    def _loaded(self) -> tuple[GenerativeModel, dict[str, Any]]:
        config = from_json(self.entry.config, self.settings["config"], str(self.path / rundir.CONFIG))
        model = build(self.entry, config, self.spec, self.networks)
        found = rundir.checkpoints(self.path).newest(warn=_warn)
        if found is None:
            raise GanvasError(f"{self.path}: no checkpoint yet; continue the run with `ganvas resume {self.path}`")
        load_tensors(model.state_dict(), model_tensors(found, model.rank_buffers(), 0), "model")
        averaged = found.tensors.get("average", {})
        load_tensors({name: p.detach() for name, p in model.named_parameters() if name in averaged}, averaged, "average")
        return self._truncated(model.eval().requires_grad_(False).to(find(self.device))), found.state

    def _truncated(self, model: GenerativeModel) -> GenerativeModel:
        if self.truncation is None:
            return model
        require(self.truncation > 0, f"--truncation {self.truncation:g}: must be greater than 0 (inf: all codes)")
        if not isinstance(model, Truncate):
            title = self.entry.card.title
            raise GanvasError(f"{self.path}: codes of {title} cannot be truncated; `ganvas list` shows what each model can do")
        return model.truncated(self.truncation, SampleDraws(key("truncation"), device=find(self.device)))

    @property
    def model(self) -> GenerativeModel:
        """The model in evaluation mode, with averaged weights where it has an average, and truncated where that is asked for."""
        return self._loaded[0]

    @cached_property
    def sources(self) -> Examples:
        """The images that a translating model makes samples from: the held-out split of the run's data, or all there are."""
        source, settings = self.settings["data"]["source"], self.settings["run"]
        if source is None:
            raise GanvasError(f"{self.path}: was trained on a Dataset object; its images cannot be opened again to make samples from")
        layout = settings.get("layout", "auto")
        return open_data(source, split=evaluation_split(source), resolution=settings.get("resolution"), layout=layout)

    @property
    def images(self) -> int:
        """Training images seen by the loaded checkpoint."""
        return int(self._loaded[1]["images"])

    def tensors(
        self,
        n: int,
        *,
        seed: int = 0,
        labels: Sequence[int] | None = None,
        size: tuple[int, int] | None = None,
        indices: Sequence[int] | None = None,
    ) -> Tensor:
        """n samples as the model gives them: images (n, C, H, W) in [-1, 1], standardised points (n, D). `size` is (height, width)."""
        if size is not None:
            require(labels is None, "--labels and --size: images of any size cannot be asked for by label")
            return self._sized(size, range(n) if indices is None else indices, seed)
        self._check(labels)
        sources = self.sources if "images" in self.entry.card.conditions else None
        where = find(self.device)
        return draw(self.model, self.entry.card, n, seed=seed, labels=labels, sources=sources, indices=indices, device=where)

    @torch.no_grad()
    def _sized(self, size: tuple[int, int], indices: Sequence[int], seed: int) -> Tensor:
        model, where = self.model, find(self.device)
        if not isinstance(model, AnySize):
            raise GanvasError(f"--size: {self.entry.card.title} draws images of one size; `ganvas list` shows what each model can do")
        require(min(size) >= 1, f"--size {size[0]} {size[1]}: height and width are whole numbers of at least 1")
        parts = [indices[at : at + 16] for at in range(0, len(indices), 16)]
        drawn = [model.sample_sized(len(part), *size, rng=SampleDraws(seed, device=where, indices=part)).float().cpu() for part in parts]
        return torch.cat(drawn)

    def sample(self, n: int, *, seed: int = 0, labels: Sequence[int] | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
        """n samples as users keep them: uint8 images (n, H, W, C), or float32 points (n, D) in the data's units.

        Sample i is a function of (run, seed, i): asking for more gives the same first ones. `labels` are class indices, used in turn.
        `size` (height, width) is for models that draw images of any size.
        """
        return self.spec.native(self.tensors(n, seed=seed, labels=labels, size=size)).numpy()

    def interpolate(self, *, rows: int = 6, steps: int = 10, seed: int = 0, labels: Sequence[int] | None = None) -> np.ndarray:
        """`rows` paths of `steps` samples each between codes, (rows * steps, ...), in the form of `sample`.

        A path keeps its label: `labels` are class indices, used in turn; without them a model that takes labels has all classes in turn.
        """
        chosen = self.path_labels(labels)
        paths = interpolate(self.model, rows=rows, steps=steps, seed=seed, labels=chosen, device=find(self.device))
        return self.spec.native(paths).numpy()

    def path_labels(self, labels: Sequence[int] | None = None) -> Sequence[int] | None:
        """The labels that `interpolate` takes in turn where it is given `labels`; None for a model that takes none."""
        takes = "labels" in self.entry.card.conditions
        require(takes or labels is None, f"--labels: {self.entry.card.title} is not conditional, its paths cannot be asked for by label")
        self._check(labels)
        return labels or (range(len(self.spec.classes)) if takes else None)

    def _check(self, labels: Sequence[int] | None) -> None:
        for label in labels or ():
            known = f"0 .. {len(self.spec.classes) - 1}"
            require(0 <= label < len(self.spec.classes), f"--labels {label}: this data has the classes {known}")


def ensemble(
    runs: Sequence[Run], n: int, *, seed: int = 0, labels: Sequence[int] | None = None, size: tuple[int, int] | None = None
) -> np.ndarray:
    """n samples, each from a run drawn at random: the ensemble remedy for mode dropping (Tolstikhin et al. 2017, arXiv:1701.02386).

    Which run sample i comes from is a function of (seed, i). Raises `GanvasError` if the runs' data have different shapes.
    """
    require(bool(runs), "name at least one run")
    first = runs[0].spec
    for run in runs[1:]:
        same = (run.spec.kind, run.spec.shape) == (first.kind, first.shape)
        require(same, f"{run.path}: its samples are {run.spec.kind} {run.spec.shape}, those of {runs[0].path} {first.kind} {first.shape}")
    if len(runs) == 1:
        return runs[0].sample(n, seed=seed, labels=labels, size=size)
    choice = [np.random.default_rng((seed, i)).integers(len(runs)) for i in range(n)]
    images = np.empty(0)
    for index, run in enumerate(runs):
        mine = [i for i in range(n) if choice[i] == index]
        if mine:
            part = run.spec.native(run.tensors(len(mine), seed=seed, labels=labels, size=size, indices=mine)).numpy()
            images = images if len(images) else np.empty((n, *part.shape[1:]), part.dtype)
            images[mine] = part
    return images


def _warn(message: str) -> None:
    import sys

    print(message, file=sys.stderr, flush=True)


def load(path: str | Path, *, device: str = "cpu", truncation: float | None = None, networks: Networks | None = None) -> Run:
    """Open a run directory for sampling and measuring; a path that is no run raises `GanvasError` at once.

    With a `truncation` all that is done with its model is done with codes cut off there, and statistics of batch norm gathered for them;
    infinity cuts nothing off. Raises `GanvasError` when the model is first needed, and cannot do that. `networks` are needed only where
    training was given some: modules of the same kind, whose weights are read from the run.
    """
    run = Run(Path(path), device, truncation, networks)
    _ = run.settings
    return run
