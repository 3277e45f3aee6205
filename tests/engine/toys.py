"""A small game for the engine's tests: two phases, dropout, batch norm, a repeated critic, a lazy term, a controller, a pool by rank."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ganvas.data.batch import DataSpec
from ganvas.data.examples import About, MemoryPoints
from ganvas.engine.contract import Average, Batch, Condition, Draws, GenerativeModel, Loss, Phase, Stage, Step
from ganvas.engine.devices import Machine
from ganvas.engine.loop import Plan, Trainer
from ganvas.engine.optimizers import SGD, Adam, Optimizer, RMSProp

MACHINE = Machine(device=torch.device("cpu"), bf16=False, threads=1)
SPEC = DataSpec(kind="points", shape=(2,))


def points(n: int = 64) -> MemoryPoints:
    generator = torch.Generator().manual_seed(1)
    return MemoryPoints(About(spec=SPEC, split="train"), torch.randn(n, 2, generator=generator))


def plan(**changes) -> Plan:
    return Plan(**({"seed": 3, "budget": 64, "save_every": 10**9, "log_every": 1} | changes))


class Toy(GenerativeModel):
    """Everything the engine must carry in one small model."""

    def __init__(
        self, *, dropout: float = 0.3, norm: bool = True, repeat: int | Callable = 2, lazy: int = 2, stages: int = 1, batch: int = 8
    ):
        super().__init__()
        torch.manual_seed(0)
        self.generator = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.ReLU(), nn.Linear(8, 2))
        self.critic = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1))
        self.register_buffer("control", torch.zeros(()))
        self.register_buffer("pool", torch.zeros(8, 2))
        self.repeat, self.lazy, self.count, self.batch = repeat, lazy, stages, batch
        self.poison_at = -1
        self.entered: list[tuple[int, bool]] = []  # a record for the tests, not state

    def stages(self) -> Sequence[Stage]:
        slow: Optimizer = RMSProp(lr=lambda clock: 1e-2 * (1 - clock.fraction))
        fast: Optimizer = Adam(lr=1e-2, betas=(0.5, 0.9))
        phases = (
            Phase(name="critic", trains=(self.critic,), loss=self.critic_loss, optimizer=slow, repeat=self.repeat),
            Phase(name="lazy", trains=(self.critic,), loss=self.lazy_loss, optimizer=slow, every=self.lazy),
            Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=fast, clip=1.0, when=self.ready),
        )
        return [
            Stage(
                name=f"stage {i}",
                phases=phases if i == 0 else (*phases[:2], self._fresh()),
                images=100 * (i + 1),
                batch=self.batch,
                enter=self.enter,
            )
            for i in range(self.count)
        ]

    def _fresh(self) -> Phase:
        return Phase(name="generator", trains=(self.generator,), loss=self.generator_loss, optimizer=SGD(lr=1e-2, momentum=0.5))

    def enter(self, batch: Batch, fresh: bool) -> None:
        self.entered.append((batch.size, fresh))

    def ready(self) -> bool:
        return bool(self.control < 1e6)

    def fake(self, n: int, rng: Draws) -> Tensor:
        return self.generator(rng.normal(n, 3))

    def critic_loss(self, step: Step) -> Loss:
        with torch.no_grad():
            fake = self.fake(step.batch.size, step.rng)
        step.scratch["fake"] = fake
        real_score, fake_score = self.critic(step.batch.points), self.critic(fake)
        terms = {"wasserstein": (fake_score - real_score)[:, 0], "drift": 1e-2 * real_score.square().mean()}
        if step.clock.step == self.poison_at:
            terms["drift"] = terms["drift"] * float("nan")
        return Loss(terms, watch={"gap": (real_score - fake_score).mean()})

    def lazy_loss(self, step: Step) -> Loss:
        return Loss({"decay": 1e-3 * sum(p.square().sum() for p in self.critic.parameters())})

    def generator_loss(self, step: Step) -> Loss:
        return Loss({"score": -self.critic(self.fake(step.batch.size, step.rng))[:, 0]})

    def after_update(self, phase: Phase, watch: Mapping[str, Tensor], scratch: Mapping[str, Tensor]) -> None:
        if self.critic in phase.trains and "gap" in watch:
            self.control += watch["gap"]
            self.pool.copy_(torch.cat([scratch["fake"][:1], self.pool[:-1]]))

    def average(self) -> Average:
        return Average(modules=(self.generator,), half_life=50.0)

    def rank_buffers(self) -> tuple[str, ...]:
        return ("pool",)

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws) -> Tensor:
        return self.fake(n, rng)


def trainer(model: Toy | None = None, **more) -> Trainer:
    torch.set_num_threads(1)
    plan_ = more.pop("plan", plan())
    return Trainer(model or Toy(), more.pop("examples", points()), plan_, MACHINE, **more)


def tensors(t: Trainer) -> dict[str, Tensor]:
    """Everything a run is made of."""
    found = {f"model/{name}": value for name, value in t.model.state_dict().items()}
    found |= {f"average/{name}": value for name, value in t.averaged.state().items()}
    for index, description in enumerate(t.updates.descriptions):
        if description in t.updates.optimizers:
            for p, state in t.updates.optimizers[description].state.items():
                found |= {f"optimizer {index}/{t.updates.names[p]}/{k}": v for k, v in state.items() if torch.is_tensor(v)}
    return {name: value.detach().clone() for name, value in found.items()}


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name
