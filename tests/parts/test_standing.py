"""Standing statistics: those of all that came to a norm, and what they make of a network."""

import torch
from torch import nn

from ganvas.parts.standing import gather


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 9, 5), nn.BatchNorm1d(5))


def batches(count=3, size=6):
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(size, 3, 5, 5, generator=generator) * (i + 1) + i,) for i in range(count)]


def test_of_several_passes_they_are_the_statistics_of_all_batches_joined():
    model, came = network(), {index: [] for index in (0, 2, 5)}
    handles = [model[index].register_forward_hook(lambda norm, given, out, index=index: came[index].append(given[0])) for index in came]
    gather(model, batches())
    for handle in handles:
        handle.remove()
    for index, seen in came.items():
        joined = torch.cat(seen).transpose(0, 1).flatten(1)
        assert len(seen) == 3
        torch.testing.assert_close(model[index].running_mean, joined.mean(1), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model[index].running_var, joined.var(1, correction=0), rtol=1e-5, atol=1e-5)
    # The first norm saw the batches themselves: its statistics are those of one large batch.
    joined = torch.cat([x for (x,) in batches()])
    torch.testing.assert_close(model[0](joined), nn.BatchNorm2d(3)(joined), rtol=1e-4, atol=1e-4)


def test_after_one_pass_the_network_makes_of_that_batch_what_training_makes_of_it():
    model, (x,) = network(), batches()[1]
    expected = model.train()(x).detach()
    gather(model, [(x,)])
    assert not any(module.training for module in model.modules())
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model(x[:2]), expected[:2], rtol=1e-4, atol=1e-4)  # and no longer depends on the others


def test_what_was_measured_before_is_forgotten_and_weights_stay():
    model, fresh = network(), network()
    for (x,) in batches(5):
        model.train()(10 * x)
    gather(model, batches())
    gather(fresh, batches())
    for name, tensor in fresh.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(tensor, model.state_dict()[name]), name
    assert not any(module._forward_pre_hooks for module in model.modules())
