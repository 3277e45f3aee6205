"""Progress, counted in images."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Where a run stands; it stands still within a step.

    `step` counts steps (each plays every phase) and `images` the training examples drawn, both from the start of the run; the
    `stage_` counters from the start of the stage. `budget` and `stage_budget` are the images the run and the stage will draw.
    """

    step: int
    images: int
    budget: int
    stage_step: int
    stage_images: int
    stage_budget: int

    @property
    def fraction(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        return min(1.0, self.images / self.budget)

    @property
    def stage_fraction(self) -> float:
        """Share of the stage that is done, in [0, 1]."""
        return min(1.0, self.stage_images / self.stage_budget)
