"""Optimizer state as named tensors, so that it can live in safetensors and be read by name."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ganvas.errors import GanvasError


def to_tensors(optimizer: torch.optim.Optimizer, names: Mapping[Any, str]) -> dict[str, Tensor]:
    """`{parameter name}:{state name}` -> tensor, for every tensor the optimizer keeps."""
    return {
        f"{names[parameter]}:{name}": value
        for parameter, state in optimizer.state.items()
        for name, value in state.items()
        if torch.is_tensor(value)
    }


def from_tensors(optimizer: torch.optim.Optimizer, names: Mapping[Parameter, str], stored: Mapping[str, Tensor]) -> None:
    """The inverse, into an optimizer that was just built; moments get the memory layout of their parameter."""
    by_name = {names[parameter]: parameter for group in optimizer.param_groups for parameter in group["params"]}
    order = {parameter: at for at, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in stored.items():
        parameter_name, _, name = key.rpartition(":")
        if parameter_name not in by_name:
            raise GanvasError(f"the checkpoint's optimizer state names '{parameter_name}', which this optimizer does not train")
        parameter = by_name[parameter_name]
        shaped = torch.empty_like(parameter, device=value.device).copy_(value) if value.shape == parameter.shape and value.ndim else value
        state.setdefault(order[parameter], {})[name] = shaped.detach()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
