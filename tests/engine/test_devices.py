"""Devices and precision by name; what is not there is said by its flag."""

import pytest
import torch

from ganvas.engine.devices import bf16_able, find, make_deterministic, resolve
from ganvas.errors import GanvasError

CPU = torch.device("cpu")


def test_names():
    assert find("cpu") == CPU
    assert find("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x", "cuda:-1", "cuda:x", "CPU", "tpu:0"])
def test_what_is_no_device(name):
    with pytest.raises(GanvasError, match=f"--device {name}: not a device; use auto, cpu, cuda, cuda:N or mps"):
        find(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(GanvasError, match=f"--device {name}: this machine has no CUDA device; use --device cpu"):
        find(name)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has a Metal device")
def test_no_metal():
    with pytest.raises(GanvasError, match="--device mps: this machine has no Metal device"):
        find("mps")


def test_precision():
    assert resolve("cpu", "fp32", 1).bf16 is False
    assert resolve("cpu", "auto", 1).bf16 is bf16_able(CPU)
    assert resolve("cpu", "auto", 1, points=True).bf16 is False
    if bf16_able(CPU):
        assert resolve("cpu", "bf16", 1).bf16 and resolve("cpu", "bf16", 1, points=True).bf16
    else:
        with pytest.raises(GanvasError, match="--precision bf16: cpu does not compute in bfloat16"):
            resolve("cpu", "bf16", 1)


def test_threads_are_set_and_recorded():
    before = torch.get_num_threads()
    try:
        machine = resolve("cpu", "fp32", 2)
        assert machine.threads == torch.get_num_threads() == 2
        assert machine.describe() == "cpu (2 threads), fp32"
    finally:
        torch.set_num_threads(before)
    assert resolve("cpu", "fp32", None).threads == before


def test_the_processor_needs_no_switch_for_determinism():
    make_deterministic(CPU)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_can_be_found_by_rank():
    assert find("cuda", local_rank=0) == torch.device("cuda", 0)
    assert resolve("cuda", "auto", None).device.type == "cuda"
