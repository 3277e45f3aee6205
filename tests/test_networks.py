"""Networks of one's own: trained as copies, kept by their weights, asked for again, checked before anything is written."""

import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

import ganvas
from ganvas.engine.config import RunConfig, to_json
from ganvas.errors import GanvasError
from ganvas.models.modular import PRESETS


class Grower(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 64), nn.Tanh())

    def forward(self, z):
        return self.layers(z).view(-1, 1, 8, 8)


class Judge(nn.Module):
    """Scores of patches (B, 1, 2, 2)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4, stride=2, padding=1))

    def forward(self, x):
        return self.layers(x)


def own():
    torch.manual_seed(11)
    return {"generator": Grower(), "discriminator": Judge()}


OWN = to_json(replace(PRESETS["tiny"], backbone="own", conditioning="none", penalty="r1", augmentation="adaptive", adaptive_speed=50.0))


def test_a_run_of_own_networks_trains_saves_and_is_taken_up_exactly(tmp_path):
    given = own()
    first = {name: p.detach().clone() for name, p in given["generator"].named_parameters()}
    options = RunConfig(save_every=32, images=64, threads=1)
    whole = ganvas.train(
        "modular", data="digits", preset="tiny", config=OWN, networks=given, options=options, run=tmp_path / "whole", quiet=True
    )
    assert all(torch.equal(first[name], p) for name, p in given["generator"].named_parameters()), "copies are trained"
    assert whole.sample(3).shape == (3, 8, 8, 1)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for later in sorted((tmp_path / "cut" / "checkpoints").iterdir())[1:]:
        shutil.rmtree(later)
    (tmp_path / "cut" / "report.html").unlink()
    with pytest.raises(GanvasError, match="--config.backbone own means networks of yours, which are in no run directory: pass networks="):
        ganvas.resume(tmp_path / "cut", quiet=True)
    resumed = ganvas.resume(tmp_path / "cut", networks=own(), quiet=True)
    assert resumed.images == whole.images == 64
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    with pytest.raises(GanvasError, match="pass networks="):
        _ = ganvas.load(tmp_path / "whole").model
    loaded = ganvas.load(tmp_path / "whole", networks={"generator": Grower(), "discriminator": Judge()})
    assert (loaded.sample(3) == whole.sample(3)).all()


@pytest.mark.parametrize(
    ("model", "networks", "config", "message"),
    [
        ("gan", own(), {}, "networks: gan has its own; models that take yours: .*modular"),
        ("modular", own(), {}, "--config.backbone strided builds its own; choose --config.backbone own"),
        ("modular", {"generator": Grower()}, OWN, "modular takes 'generator' and 'discriminator', not generator"),
        ("modular", {"generator": Grower(), "discriminator": len}, OWN, "'discriminator' must be a torch.nn.Module, not builtin_function"),
        ("modular", {"generator": Judge(), "discriminator": Judge()}, OWN, r"'generator' fails on \(2, 4\): Expected 3D"),
        ("modular", own(), OWN | {"conditioning": "concat"}, r"'generator' fails on \(2, 4\) and labels \(2,\): .*positional arg"),
        ("modular", None, OWN, "pass networks="),
    ],
)
def test_wrong_networks_are_refused_before_anything_is_written(model, networks, config, message, tmp_path):
    with pytest.raises(GanvasError, match=message):
        ganvas.train(model, data="digits", preset="tiny", config=config, networks=networks, run=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_generator_whose_weights_are_computed_is_reported_too(tmp_path):
    """Of torch's older spectral norm the weight is no leaf after training and cannot be copied: the report takes the averages' model."""
    layer = torch.nn.utils.spectral_norm(nn.Linear(4, 64))
    given = {"generator": nn.Sequential(layer, nn.Tanh(), nn.Unflatten(1, (1, 8, 8))), "discriminator": Judge()}
    run = ganvas.train("modular", data="digits", preset="tiny", config=OWN, networks=given, images=32, run=tmp_path / "run", quiet=True)
    assert (run.path / "report.html").exists() and run.images == 32
