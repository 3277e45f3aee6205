"""Real tiny runs for the tests of what is seen of a run."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ganvas import catalog
from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryImages
from ganvas.data.open import open_data
from ganvas.diagnostics.gallery import GalleryObserver
from ganvas.diagnostics.recorder import MetricsObserver
from ganvas.engine import rundir
from ganvas.engine.capabilities import Latent
from ganvas.engine.card import Card
from ganvas.engine.config import RunConfig, to_json
from ganvas.engine.contract import Condition, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.devices import Machine
from ganvas.engine.loop import Plan, Trainer
from ganvas.engine.optimizers import Adam

MACHINE = Machine(device=torch.device("cpu"), bf16=False, threads=1)
CONDITIONAL = Card(title="Class means", year=2024, paper="none", family="test", teaches="nothing", data=("images",), conditions=("labels",))


class Means(GenerativeModel, Latent):
    """Learns one image for each class by least squares; a sample is the image of its label plus a little of its code."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.spec = spec
        self.means = nn.Embedding(len(spec.classes), 64)

    def stages(self) -> Sequence[Stage]:
        phase = Phase(
            name="fit", trains=(self.means,), loss=self.loss, optimizer=Adam(lr=lambda clock: 0.1 * (1 - clock.fraction), betas=(0.9, 0.99))
        )
        return [Stage(name="only", phases=(phase,), images=80, batch=8)]

    def loss(self, step: Step) -> Loss:
        return Loss({"error": (self.means(step.batch.labels) - step.batch.images.flatten(1)).square().mean(1)})

    @property
    def prior(self) -> str:
        return "normal"

    def draw(self, n: int, rng: Draws) -> Tensor:
        return rng.normal(n, 64)

    def decode(self, z: Tensor, *, condition: Condition | None = None) -> Tensor:
        assert condition is not None and condition.labels is not None, "a conditional model is asked for labels"
        return (self.means(condition.labels) + 0.1 * z).tanh().view(-1, 1, 8, 8)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.decode(self.draw(n, rng), condition=condition)


def plan(budget: int = 80, **changes) -> Plan:
    return Plan(**({"seed": 3, "budget": budget, "save_every": 10**9, "log_every": 1} | changes))


def begin(path: Path, *, model: str = "gan", data: str = "digits", budget: int = 80, classes: tuple[str, ...] | None = None, **changes):
    """(entry, model, examples) of a new run directory of a catalog entry's `tiny` preset; `classes` renames the data's."""
    entry, examples = catalog.open_model(model), open_data(data)
    if classes is not None:
        rows = examples.batch(torch.arange(64))
        spec = DataSpec(kind="images", shape=examples.spec.shape, classes=classes)
        pixels = ((rows.images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        examples = MemoryImages(About(spec=spec, split="train", notes=("a <b>note</b>",)), pixels, rows.labels % len(classes))
    config = entry.presets["tiny"]
    facts = {"source": data, "split": "train", "count": len(examples), "fingerprint": examples.fingerprint, "notes": examples.notes()}
    stored = {
        "format": 1,
        "model": model,
        "preset": "tiny",
        "config": to_json(config),
        "run": to_json(RunConfig(images=budget)),
        "data": facts | {"rejected": 2, "spec": examples.spec.to_json()},
        "resolved": {"images": budget, "device": "cpu", "bf16": False, "threads": 1, "ranks": 1},
    }
    rundir.create(path, stored | changes)
    torch.manual_seed(0)
    return entry, entry.model(config, examples.spec), examples


def observed(path: Path, card: Card, spec: DataSpec, every: int = 24, data_name: str = "digits"):
    """The observers that leave something in a run directory while it goes on."""
    return {"metrics": MetricsObserver(path), "gallery": GalleryObserver(path, card, spec, data_name, every, 5)}


def trainer(model: GenerativeModel, examples, *, budget: int = 80, checkpoints: Path | None = None, observers=None, **changes) -> Trainer:
    kept = rundir.checkpoints(checkpoints) if checkpoints is not None else None
    return Trainer(model, examples, plan(budget, **changes), MACHINE, observers=observers, checkpoints=kept)
