"""Networks by name: shapes of every mixture, what a label does, normalisations, first weights, and what a user's networks must be."""

import pytest
import torch
from torch import nn

from ganvas.data.batch import DataSpec
from ganvas.errors import GanvasError
from ganvas.parts.mixed import BACKBONES, NORMS, MixedDiscriminator, MixedGenerator, asked, copied, mixes_examples, probe
from ganvas.parts.spectral import Spectral, settle

CLASSES = ("a", "b", "c")
SIZES = [(1, 8, 8), (3, 11, 13), (2, 9, 6)]
NORMALISED = [("strided", norm) for norm in NORMS] + [
    (backbone, norm) for backbone in ("perceptron", "residual") for norm in ("none", "spectral")
]
Y = torch.tensor([0, 1, 2, 1])


def images(*shape):
    return DataSpec(kind="images", shape=shape, classes=CLASSES)


CONDITIONINGS = ("none", "joined", "projected", "classified")


def generator(data, backbone="strided", conditioning="none", init=None):
    """Classes are joined to the code, or choose the norms of a residual generator that is projected on."""
    classes = 0 if conditioning == "none" else len(CLASSES)
    how = {"normed" if (backbone, conditioning) == ("residual", "projected") else "joined": classes}
    return MixedGenerator(backbone, data, 5, width=4, kernel=4, levels="doubling", init=init, **how)


def discriminator(data, backbone="strided", conditioning="none", normalisation="none", init=None):
    how = {} if conditioning == "none" else {conditioning: len(CLASSES)}
    return MixedDiscriminator(backbone, data, width=4, kernel=4, levels="doubling", normalisation=normalisation, init=init, **how)


def fits(g, d, data, conditioning="none"):
    probe(g, d, data, 5, told=conditioning in ("joined", "projected"), classified=len(CLASSES) if conditioning == "classified" else 0)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("conditioning", CONDITIONINGS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_takes_every_conditioning_and_size(backbone, conditioning, shape):
    data, y = images(*shape), None if conditioning == "none" else Y
    samples = asked(generator(data, backbone, conditioning), torch.randn(4, 5), y)
    assert samples.shape == (4, *shape) and samples.abs().max() <= 1
    network = discriminator(data, backbone, conditioning)
    if conditioning == "classified":
        scores, classes = network(samples)
        assert classes.shape == (4, 3)
    else:
        scores = asked(network, samples, y)
    assert scores.shape == (4,)
    fits(generator(data, backbone, conditioning), network, data, conditioning)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_points_go_through_perceptrons(conditioning):
    data, y = DataSpec(kind="points", shape=(2,), classes=CLASSES), None if conditioning == "none" else Y
    made = asked(generator(data, "perceptron", conditioning), 1000 * torch.randn(4, 5), y)
    assert made.shape == (4, 2) and made.abs().max() > 1, "points are not squashed"
    fits(generator(data, "perceptron", conditioning), discriminator(data, "perceptron", conditioning), data, conditioning)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("conditioning", ["joined", "projected"])
def test_the_label_matters_to_both(backbone, conditioning):
    torch.manual_seed(0)
    data = images(1, 8, 8)
    g, d = generator(data, backbone, conditioning).eval(), discriminator(data, backbone, conditioning)
    z, x, one, other = torch.randn(4, 5), torch.rand(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    assert not torch.allclose(g(z, one), g(z, other)) and not torch.allclose(d(x, one), d(x, other))


def test_the_projection_is_an_inner_product_plus_the_rest():
    data, x = images(1, 8, 8), torch.rand(4, 1, 8, 8)
    network = discriminator(data, "residual", "projected")
    f = network.trunk(x)
    by_hand = (network.score.embedding.weight[Y] * f).sum(1) + f @ network.score.unconditional.weight[0]
    torch.testing.assert_close(network(x, Y), by_hand)


@pytest.mark.parametrize(("backbone", "normalisation"), NORMALISED)
def test_normalisations_are_what_they_are_called(backbone, normalisation):
    network = discriminator(images(1, 8, 8), backbone, "projected", normalisation, init=0.02)
    kinds = {type(layer).__name__ for layer in network.modules()}
    wanted = {"none": set(), "batch": {"BatchNorm2d"}, "layer": {"GroupNorm"}, "spectral": {"Spectral"}}[normalisation]
    assert kinds & {"BatchNorm2d", "GroupNorm", "Spectral"} == wanted
    assert mixes_examples(network) == (normalisation == "batch")
    x = torch.rand(4, 1, 8, 8)
    alone = torch.cat([network(x[i : i + 1], Y[i : i + 1]) for i in range(4)]) if normalisation != "batch" else network.eval()(x, Y)
    torch.testing.assert_close(network(x, Y), alone, rtol=1e-4, atol=1e-5)
    if normalisation == "spectral":
        bare = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding)]
        assert bare and all(name.endswith(".layer") for name in bare)
        settle(network, iterations=300)
        for layer in network.modules():
            if isinstance(layer, Spectral):
                assert float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) == pytest.approx(1.0, rel=0.01)


def test_first_weights_are_dcgan_s_where_layers_are_normalised():
    torch.manual_seed(0)
    data = images(1, 16, 16)
    deviations = []
    for network in (generator(data, init=0.02), discriminator(data, normalisation="batch", init=0.02), discriminator(data, init=0.02)):
        weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        deviations.append(float(torch.cat([weight.flatten() for weight in weights]).detach().std()))
    assert deviations[:2] == pytest.approx([0.02, 0.02], rel=0.1) and deviations[2] > 0.03


class Given(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.shape, self.bias = shape, nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return torch.zeros(len(x), *self.shape)


class Told(Given):
    def forward(self, x):
        return torch.zeros(len(x)), torch.zeros(len(x), 2)


class Listed(Given):
    def forward(self, x):
        return [torch.zeros(len(x))]


class Alone(Given):
    def forward(self, x):
        return (torch.zeros(len(x)),)


@pytest.mark.parametrize(
    ("g", "d", "message"),
    [
        (Given(1, 8, 9), Given(), r"'generator' makes \(2, 1, 8, 9\) of two codes, not \(2, 1, 8, 8\)"),
        (Told(), Given(), r"'generator' makes \(\(2,\), \(2, 2\)\) of two codes, not \(2, 1, 8, 8\)"),
        (Given(1, 8, 8), nn.Flatten(0), "'discriminator' has no parameters: there is nothing to train"),
        (Given(1, 8, 8), nn.Sequential(nn.Linear(8, 8), nn.Flatten(0)), r"'discriminator' gives \(128,\) for two samples"),
        (Given(1, 8, 8), nn.Sequential(nn.Flatten(), nn.BatchNorm2d(1)), r"'discriminator' fails on \(2, 1, 8, 8\): expected 4D input"),
        (Given(1, 8, 8), Told(), r"'discriminator' gives \(\(2,\), \(2, 2\)\) for two samples, not scores \(2,\)"),
        (Given(1, 8, 8), Listed(), r"'discriminator' gives a list for two samples, not scores \(2,\)"),
        (Given(1, 8, 8), Alone(), r"'discriminator' gives \(\(2,\)\) for two samples, not scores \(2,\)"),
    ],
)
def test_networks_that_do_not_fit_are_refused(g, d, message):
    with pytest.raises(GanvasError, match=message):
        fits(g, d, images(1, 8, 8))


class Grower(Given):
    def forward(self, x, y):
        return torch.zeros(len(x), 1, 8, 8)


def test_beside_scores_a_classifier_names_every_class():
    probe(Grower(), Told(), images(1, 8, 8), 5, classified=2)
    with pytest.raises(GanvasError, match=r"'discriminator' gives \(\(2,\), \(2, 2\)\) for two samples, not scores and \(2, 3\)"):
        probe(Grower(), Told(), images(1, 8, 8), 5, classified=3)
    with pytest.raises(GanvasError, match=r"'discriminator' gives \(2,\) for two samples, not scores and \(2, 3\)"):
        probe(Grower(), Given(), images(1, 8, 8), 5, classified=3)


def test_a_network_that_cannot_be_copied_says_why():
    with pytest.warns(FutureWarning, match="weight_norm"):
        old = torch.nn.utils.weight_norm(nn.Linear(2, 2))
    with pytest.raises(GanvasError, match=r"networks: 'generator' cannot be copied \(.*: normalise weights by torch.nn.utils.parametriz"):
        copied("generator", old)


def test_fitting_ones_are_left_as_they_were():
    g, d = nn.Sequential(nn.Linear(5, 64), nn.BatchNorm1d(64), nn.Unflatten(1, (1, 8, 8))), Given(1, 2, 2)
    before = {name: value.clone() for name, value in g.state_dict().items()}
    fits(g, d, images(1, 8, 8))
    assert g.training and d.training and all(torch.equal(before[name], value) for name, value in g.state_dict().items())
