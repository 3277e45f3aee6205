"""Standing statistics: batch norm's moments measured anew, for the weights and the codes that samples are drawn with.

Running averages are those of training: of weights that were moving, and of codes from the whole prior. Brock et al. 2018
(arXiv:1809.11096, appendix C.1) measure instead: several passes in training mode, their moments put together, and from then on a sample no
longer depends on the others.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ganvas.parts.objectives import widen

__all__ = ["gather"]

Norm = nn.BatchNorm1d | nn.BatchNorm2d


@torch.no_grad()
def gather(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Pass batches of one size through the network, each normalised by its own moments, and let its batch norms keep the moments of all
    that came to them: mean and variance (over N, not N - 1) of the joined batches. The network ends in evaluation mode.
    """
    norms = [module for module in network.modules() if isinstance(module, Norm)]
    moments: dict[Norm, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in norms}
    handles = [norm.register_forward_pre_hook(_noting(moments[norm])) for norm in norms]
    network.eval()
    try:
        for norm in norms:
            norm.train()
        for batch in batches:
            network(*batch)
    finally:
        for handle in handles:
            handle.remove()
        network.eval()
    for norm, found in moments.items():
        means, variances = (torch.stack(part) for part in zip(*found, strict=True))
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(means.mean(0))
        norm.running_var.copy_(variances.mean(0) + means.var(0, correction=0))


def _noting(found: list[tuple[Tensor, Tensor]]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def note(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        x = widen(given[0])
        variance, mean = torch.var_mean(x, [axis for axis in range(x.dim()) if axis != 1], correction=0)
        found.append((mean, variance))

    return note
