"""Perceptual distances: zero on equal images, by hand on small networks, and VGG from a file."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import conv2d, max_pool2d, relu

from ganvas.errors import GanvasError
from ganvas.parts.perceptual import Perceptual, convolutional, unit, vgg


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())


def images(n=3):
    return torch.rand(n, 3, 8, 8) * 2 - 1


@pytest.mark.parametrize("form", ["unit", "plain"])
def test_zero_on_equal_images_symmetric_and_positive_else(form):
    distance, a, b = Perceptual(network(), (1, 4), form=form), images(), images()
    assert torch.equal(distance(a, a), torch.zeros(3))
    torch.testing.assert_close(distance(a, b), distance(b, a))
    assert distance(a, b).shape == (3,) and (distance(a, b) > 0).all()
    torch.testing.assert_close(distance(a, b)[1:2], distance(a[1:2], b[1:2]))


def test_unit_by_hand():
    """One 1 x 1 convolution that copies two channels: at each place the maps are unit vectors of the plane."""
    copy = nn.Conv2d(2, 2, 1, bias=False)
    copy.weight.data = torch.eye(2)[:, :, None, None]
    a, b = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1), torch.tensor([0.0, 5.0]).view(1, 2, 1, 1)
    both_a, both_b = torch.cat([a, a], dim=3), torch.cat([a * 7, b], dim=3)  # equal in direction at one of two places
    equal = Perceptual(nn.Sequential(copy), (0,))
    torch.testing.assert_close(equal(both_a, both_b), torch.tensor([1.0]))  # (0 + 1^2 + 1^2) / 2
    weighted = Perceptual(nn.Sequential(copy), (0,), weights=[torch.tensor([1.0, 10.0])])
    torch.testing.assert_close(weighted(both_a, both_b), torch.tensor([5.5]))


def test_plain_by_hand():
    net = network()
    a, b = images(), images()
    first = [relu(net[0](x)) for x in (a, b)]
    second = [relu(net[3](max_pool2d(x, 2))) for x in first]
    wanted = 0.25 * (first[0] - first[1]).abs().mean((1, 2, 3)) + 2 * (second[0] - second[1]).abs().mean((1, 2, 3))
    torch.testing.assert_close(Perceptual(net, (1, 4), form="plain", weights=[0.25, 2.0])(a, b), wanted.detach())


def test_maps_of_zero_have_a_direction_of_zero_and_finite_gradients():
    assert torch.equal(unit(torch.zeros(1, 3, 2, 2)), torch.zeros(1, 3, 2, 2))
    distance = Perceptual(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()), (1,))
    distance.network[0].bias.data.fill_(-100.0)
    x = images().requires_grad_()
    distance(x, images()).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_gradients_reach_images_and_never_the_network():
    distance, x = Perceptual(network(), (1, 4)), images().requires_grad_()
    distance(x, images()).sum().backward()
    assert x.grad.abs().sum() > 0 and not any(p.requires_grad for p in distance.parameters())


def test_it_never_trains():
    norm = nn.BatchNorm2d(4)
    distance = Perceptual(nn.Sequential(nn.Conv2d(3, 4, 1), norm, nn.ReLU()), (2,))
    model = nn.Sequential(distance).train()
    before = norm.running_mean.clone()
    distance(images(), images())
    assert not any(module.training for module in distance.modules()) and model.training and torch.equal(norm.running_mean, before)


def test_layers_before_places_are_given_up():
    body = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2), nn.ReLU()
    )
    kept, taps = convolutional(body)
    assert len(kept) == 3 and taps == (2,)
    with pytest.raises(GanvasError, match="needs a network of convolutions with ReLU"):
        convolutional(nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"taps": ()}, "ascending numbers of the 5 layers"),
        ({"taps": (4, 1)}, "ascending numbers"),
        ({"taps": (5,)}, "ascending numbers"),
        ({"taps": (1,), "weights": [1.0, 2.0]}, "1 taps need as many weights, not 2"),
        ({"taps": (1,), "form": "units"}, "is unit or plain, not 'units'"),
    ],
)
def test_what_fits_no_network_is_refused(arguments, message):
    with pytest.raises(GanvasError, match=message):
        Perceptual(network(), **arguments)
    with pytest.raises(GanvasError, match="images of one size"):
        Perceptual(network(), (1,))(images(2), images(3))


# VGG from a file


SIXTEEN = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # torchvision's numbers of VGG 16's convolutions


def tensors(numbers=SIXTEEN, maps=4):
    found, below = {"classifier.0.weight": torch.rand(2, 2)}, 3
    for number in numbers:
        found |= {f"features.{number}.weight": torch.randn(maps, below, 3, 3) / 3, f"features.{number}.bias": torch.randn(maps) / 9}
        below = maps
    return found


def test_vgg_16_has_its_taps_and_its_numbers(tmp_path):
    held = tensors()
    save_file(held, tmp_path / "vgg.safetensors")
    distance = vgg(tmp_path / "vgg.safetensors")
    assert distance.taps == (3, 8, 15, 22, 29), "relu1_2, relu2_2, relu3_3, relu4_3, relu5_3"
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    maps = ((x + 1) / 2 - mean) / deviation
    for number in (0, 2):
        maps = relu(conv2d(maps, held[f"features.{number}.weight"], held[f"features.{number}.bias"], padding=1))
    torch.testing.assert_close(distance.maps(x)[0], maps, rtol=1e-4, atol=1e-4)
    assert [tuple(one.shape[2:]) for one in distance.maps(x)] == [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]
    assert torch.equal(distance(x, x), torch.zeros(2))


def test_lpips_weights_are_taken_where_the_file_has_them(tmp_path):
    linear = {f"lin{index}.model.1.weight": torch.rand(1, 4, 1, 1) for index in range(5)}
    save_file(tensors() | linear, tmp_path / "lpips.safetensors")
    distance = vgg(tmp_path / "lpips.safetensors")
    x, y = (torch.rand(2, 3, 32, 32) * 2 - 1 for _ in range(2))
    wanted = torch.zeros(2)
    for index, (a, b) in enumerate(zip(distance.maps(x), distance.maps(y), strict=True)):
        wanted += ((unit(a) - unit(b)).square() * linear[f"lin{index}.model.1.weight"][0]).sum(1).mean((1, 2))
    torch.testing.assert_close(distance(x, y), wanted)
    plain = vgg(tmp_path / "lpips.safetensors", form="plain", weights=[1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0])
    assert [float(plain.get_buffer(f"weight_{index}")) for index in range(5)] == [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0]


def test_files_that_are_no_vgg_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    for held in ({"weight": torch.zeros(1)}, tensors((0, 3, 7)), tensors((1, 3)), tensors() | {"features.2.weight": torch.zeros(3)}):
        save_file(held, path)
        with pytest.raises(GanvasError, match="holds no VGG without batch normalisation"):
            vgg(path)
    save_file(tensors() | {"lin0.model.1.weight": torch.rand(1, 4, 1, 1)}, path)
    with pytest.raises(GanvasError, match="wanted for 5 layers, lin0 to lin4"):
        vgg(path)
    path.write_bytes(b"nothing")
    with pytest.raises(GanvasError, match="not a readable .safetensors file"):
        vgg(path)
