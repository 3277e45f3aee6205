"""LeCam regularisation (Tseng et al. 2021, arXiv:2104.03310): scores of reals are drawn to the running mean of the scores of fakes, and
those of fakes to that of reals.

    R = E[(a(x) - m_f)^2] + E[(a(G(z)) - m_r)^2]        m_r, m_f: exponential moving averages of the mean scores

With the Wasserstein objective the generator then descends a LeCam divergence, which few data estimate well (proposition 1). The averages
are state. Codes that go with the hinge leave out what is on the far side, relu(a(x) - m_f)^2 + relu(m_r - a(G(z)))^2: the same where reals
score above m_f and fakes below m_r.
"""

from typing import final

import torch
from torch import Tensor, nn

from ganvas.parts.objectives import per_sample, widen

__all__ = ["LeCam", "lecam"]


def lecam(real: Tensor, fake: Tensor, mean_real: Tensor, mean_fake: Tensor) -> Tensor:
    """(a_r - m_f)^2 + (a_f - m_r)^2 (B,) of scores (B, ...) and the means () of both sides."""
    return per_sample((widen(real) - mean_fake).square()) + per_sample((widen(fake) - mean_real).square())


@final
class LeCam(nn.Module):
    """The moving averages m_r and m_f, two buffers, and the number of `updates` they have seen.

    decay: share of the old average kept at an update (0.99).
    start: updates without a penalty, while the averages are the last batch's means (1,000 in the published codes).
    """

    real: Tensor
    fake: Tensor
    updates: Tensor

    def __init__(self, *, decay: float = 0.99, start: int = 1000) -> None:
        super().__init__()
        self.decay, self.start = decay, start
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """R of each pair (B,); 0 until `start` updates are done."""
        # Clones, since `update` changes the buffers in place, which a graph that is still to be walked must not see.
        found = lecam(real, fake, self.real.clone(), self.fake.clone())
        return torch.where(self.updates >= max(self.start, 1), found, torch.zeros_like(found))

    @torch.no_grad()
    def update(self, real: Tensor, fake: Tensor) -> None:
        """After an update of the discriminator, with the mean scores () of the reals and fakes it was made on."""
        kept = torch.where(self.updates >= max(self.start, 1), self.decay, 0.0)
        self.real.copy_(kept * self.real + (1 - kept) * real)
        self.fake.copy_(kept * self.fake + (1 - kept) * fake)
        self.updates += 1
