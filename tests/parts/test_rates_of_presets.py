"""The optimizers of adversarial models, as their phases build them: published numbers, and no momentum that unsettles the game."""

import pytest

from ganvas import catalog
from ganvas.engine.contract import Clock, DataSpec
from ganvas.engine.optimizers import Adam

START = Clock(step=0, images=0, budget=10**9, stage_step=0, stage_images=0, stage_budget=10**9)
CLASSES = tuple("0123456789")
FEW = {"labelled": (1, 28, 28), "labelled_classes": (10,)}

D, G, C = "discriminator", "generator", "critic"
PUBLISHED = {
    ("gan", "paper"): {D: "SGD 0.05 0.5", G: "SGD 0.1 0.5"},
    ("gan", "textbook"): {D: "Adam 0.0002 0.5 0.999", G: "Adam 0.0002 0.5 0.999"},
    ("dcgan", "paper"): {D: "Adam 0.0002 0.5 0.999", G: "Adam 0.0002 0.5 0.999"},
    ("lsgan", "paper"): {D: "Adam 0.001 0.5 0.999", G: "Adam 0.001 0.5 0.999"},
    ("fgan", "paper"): {C: "Adam 0.0002 0.5 0.999", G: "Adam 0.0002 0.5 0.999"},
    ("wgan", "paper"): {C: "RMSProp 5e-05", G: "RMSProp 5e-05"},
    ("wgan", "textbook"): {C: "RMSProp 5e-05", G: "RMSProp 5e-05"},
    ("wgan_gp", "paper"): {C: "Adam 0.0001 0.5 0.9", G: "Adam 0.0001 0.5 0.9"},
    ("wgan_gp", "paper-points"): {C: "Adam 0.0001 0.5 0.9", G: "Adam 0.0001 0.5 0.9"},
    ("ebgan", "paper"): {"autoencoder": "Adam 0.001 0.5 0.999", C: "Adam 0.001 0.5 0.999", G: "Adam 0.001 0.5 0.999"},
    ("began", "paper"): {C: "Adam 0.0001 0.5 0.999", G: "Adam 0.0001 0.5 0.999"},
    ("dragan", "paper"): {D: "Adam 0.0001 0.5 0.9", G: "Adam 0.0001 0.5 0.9"},
    ("relativistic", "paper"): {C: "Adam 0.0002 0.5 0.999", G: "Adam 0.0002 0.5 0.999"},
    ("cgan", "paper"): {D: "SGD 0.1 0.5", G: "SGD 0.1 0.5"},
    ("cgan", "textbook"): {D: "Adam 0.0002 0.5 0.999", G: "Adam 0.0002 0.5 0.999"},
    ("acgan", "paper"): {D: "Adam 0.0002 0.5 0.999", G: "Adam 0.0002 0.5 0.999"},
    ("acgan", "guarded"): {D: "Adam 0.0002 0.5 0.999", G: "Adam 0.0002 0.5 0.999"},
    ("infogan", "paper"): {D: "Adam 0.0002 0.5 0.999", G: "Adam 0.001 0.5 0.999"},
    ("improved_gan", "paper"): {D: "Adam 0.003 0.5 0.999", G: "Adam 0.003 0.5 0.999"},
    ("pacgan", "paper"): {D: "Adam 0.0002 0.5 0.999", G: "Adam 0.0002 0.5 0.999"},
    ("pacgan", "paper-points"): {D: "Adam 0.0001 0.8 0.999", G: "Adam 0.0001 0.8 0.999"},
    ("bsgan", "paper"): {D: "Adam 0.0001 0.5 0.999", G: "Adam 0.0001 0.5 0.999"},
    ("sngan", "paper"): {D: "Adam 0.0002 0 0.9", G: "Adam 0.0002 0 0.9"},
    ("projection", "paper"): {D: "Adam 0.0002 0 0.9", G: "Adam 0.0002 0 0.9"},
    ("sagan", "paper"): {D: "Adam 0.0004 0 0.9", G: "Adam 0.0001 0 0.9"},
    ("biggan", "paper"): {D: "Adam 0.0002 0 0.999", G: "Adam 5e-05 0 0.999"},
    ("biggan", "paper-32"): {D: "Adam 0.0002 0 0.999", G: "Adam 0.0002 0 0.999"},
    ("r3gan", "paper"): {D: "Adam 0.0002 0 0.9", G: "Adam 0.0002 0 0.9"},
    ("r3gan", "paper-256"): {D: "Adam 0.0002 0 0.9", G: "Adam 0.0002 0 0.9"},
    ("spade", "paper"): {G: "Adam 0.0001 0 0.9", D: "Adam 0.0004 0 0.9"},
    ("modular", "paper"): {D: "Adam 0.0002 0.5 0.999", G: "Adam 0.0002 0.5 0.999"},
    ("triplegan", "paper"): {
        "classifier alone": "Adam 0.0003 0.9 0.999",
        D: "Adam 0.001 0.5 0.999",
        G: "Adam 0.001 0.5 0.999",
        "classifier": "Adam 0.001 0.5 0.999",
    },
}
MODELS = sorted({name for name, _ in PUBLISHED})


def optimizers(name, preset):
    """The optimizer of each phase at the start of a run."""
    entry = catalog.open_model(name)
    points = preset.endswith("points")
    views = FEW if "labelled" in entry.card.needs or preset.endswith("few") else {}
    images = DataSpec(kind="images", shape=(1, 28, 28), classes=CLASSES, views=views)
    if "palette" in entry.card.needs:
        images = DataSpec(
            kind="images", shape=(1, 28, 28), views={"target": (3, 28, 28)}, domains=("map", "photo"), aligned=True, palette=((0,), (1,))
        )
    model = entry.model(entry.presets[preset], DataSpec(kind="points", shape=(2,)) if points else images)
    return {phase.name: phase.optimizer for stage in model.stages() for phase in stage.phases}


def spelled(optimizer):
    settings = optimizer.settings(START)
    betas = settings.pop("betas", getattr(optimizer, "betas", ()))  # among the settings where they follow a schedule
    numbers = (*settings.values(), *betas)
    return " ".join([type(optimizer).__name__, *(f"{number:g}" for number in numbers)])


@pytest.mark.parametrize(("name", "preset"), PUBLISHED)
def test_published_presets_have_the_published_numbers(name, preset):
    assert {phase: spelled(optimizer) for phase, optimizer in optimizers(name, preset).items()} == PUBLISHED[name, preset]


@pytest.mark.parametrize("name", MODELS)
def test_no_player_of_any_preset_has_the_momentum_of_adam_s_default(name):
    """0.9 makes two players circle each other. Triple-GAN's classifier has it while it learns alone, PacGAN's 2-D script 0.8."""
    for preset in catalog.open_model(name).presets:
        for phase, optimizer in optimizers(name, preset).items():
            if isinstance(optimizer, Adam) and phase != "classifier alone":
                assert optimizer.betas[0] <= (0.8 if (name, preset) == ("pacgan", "paper-points") else 0.5), (preset, phase)
            assert name != "wgan" or not isinstance(optimizer, Adam)
