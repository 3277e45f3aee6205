"""What curves and numbers mean, in words. General statements about kinds of games and metrics; never a verdict on one run."""

import ast
import re
from collections.abc import Iterable
from itertools import pairwise
from types import MappingProxyType

from ganvas import catalog
from ganvas.engine.card import Card

DRAWING = (
    "Light lines are logged values, dark ones their running median. Axes cover 98 % of the values, so that a spike does not flatten the "
    "rest; thin vertical lines mark a new stage. Progress is counted in training examples."
)

ADVERSARIAL = (
    "The networks are trained against each other, so each loss measures one network against an opponent that moves as well. A loss that "
    "falls, rises or stands still says who is ahead, not how good the samples are: judge those by the pictures, and by the evaluation if "
    "there is one.",
    "Look for balance. If one player's loss goes to its best possible value and stays there while the other's grows, the first has won "
    "and the second learns little from it. If losses look healthy while the samples of a grid all look alike, the generator has "
    "collapsed: no loss shows that, but recall and coverage do.",
)

COOPERATIVE = (
    "All networks are trained together on one objective, so a lower value is better as far as training data go. Only a held-out split "
    "says how well the model generalises.",
)

FAMILIES = MappingProxyType(
    {
        "variational": (
            "The terms add up to a bound of the negative log-likelihood. Reconstruction says how well examples are explained by their "
            "codes, the KL term how many nats of a code are used. A KL term near zero means that codes are ignored; a growing one that "
            "more of the data is told through them.",
        ),
        "autoregressive": (
            "The value is the exact negative log-likelihood of the training data, so values of models of the same data, in the same "
            "units and binarised alike, can be compared directly.",
        ),
    }
)

GRADIENTS = (
    "The gradient norm of a phase is that of the whole gradient before clipping. Slow drifts are ordinary; a jump by orders of magnitude "
    "precedes most divergences, and a norm that goes to zero means that this player is no longer told how to improve."
)

SPEED = (
    "Images a second are measured over the last five seconds, whatever happened in them: a dip is a grid, an evaluation, a checkpoint, "
    "or other work on the machine."
)

DIVERSITY = (
    "The diversity of a grid compares distances between its samples with those between as many examples of the data: 1 is as far apart as "
    "the data, 0 is all alike. The mean distance falls when the generator collapses to one kind of sample; the distance to the nearest "
    "other falls even when it only repeats a few. No classifier is asked, so noise counts as diverse: values above 1 mean noise more often "
    "than invention. The energy distance compares the samples themselves with those examples: 0 is the law of the data, give or take the "
    "chance of so few; the mean of the data alone has about 0.4. It sees layout and colour rather than what is shown."
)

VARIATION = (
    "The data are one image, so the curve shows how much a pixel varies from sample to sample, as a share of how much pixels vary within "
    "the image. Near 0 all samples are the same picture."
)

DISTANCE = (
    "Evaluations compare samples with held-out data. Each curve is drawn twice: over examples, which tells what the model learns from "
    "them, and over minutes of training, which tells what that cost on this machine."
)

SURFACE = (
    "Colours are the score that the critic gives to each place, light where it holds points to be real; arrows point where the score "
    "rises. A generator moves its samples along them. Arrows that are short beside the samples leave it without direction; a slope that "
    "is steep in one place and flat everywhere else makes it jump. In balance the surface is flat where samples lie over the data."
)

NEIGHBOURS = (
    "Left of each row a sample, right of it the training images nearest to it by their pixels. Samples much nearer to a training image "
    "than training images are to each other are copies. Distances of pixels see no similarity of content: a shifted copy looks far away."
)

ENERGY = "Energy counts all that ran on those parts of the machine during training, other programs included."

METRICS = MappingProxyType(
    {
        "fd": "Frechet distance between Gaussians fitted to the features of samples and reference (Heusel et al. 2017); lower is better. "
        "Comparable only for equal features and equal numbers of samples.",
        "precision": "share of samples that lie among the reference (Kynkäänniemi et al. 2019): how real samples look, in [0, 1].",
        "recall": "share of the reference that lies among the samples (Kynkäänniemi et al. 2019): how varied samples are, in [0, 1].",
        "density": "how many neighbourhoods of the reference hold a sample, on average (Naeem et al. 2020); 1 for the data itself, "
        "it can exceed 1.",
        "coverage": "share of the reference that has a sample in its neighbourhood (Naeem et al. 2020), in [0, 1]; robust to outliers.",
        "classes": "classes that a classifier finds in the samples.",
        "confidence": "mean probability that the classifier gives a sample's likeliest class.",
        "wasserstein": "mean distance to move samples onto the reference, in the data's own units; lower is better.",
        "modes_found": "modes with at least one sample near.",
        "modes_of": "modes there are.",
        "high_quality": "share of samples near a mode.",
        "modes_kl": "divergence of the modes' shares from the data's, in nats; 0 where every mode has its share.",
        "patch_kd": "kernel distance between small patches of samples and reference at several scales; lower is better, and chance can "
        "take it below 0.",
        "diversity": "standard deviation of a pixel from sample to sample; 0 means that all samples are one picture.",
        "diversity_of": "the same of the data, or the deviation of the pixels of their one image.",
    }
)


def curves(card: Card, *, adversarial: bool) -> tuple[str, ...]:
    """Paragraphs on the curves of a game of this family, whose phases train different networks if it is `adversarial`."""
    return (DRAWING, *(ADVERSARIAL if adversarial else COOPERATIVE), *FAMILIES.get(card.family, ()), GRADIENTS, SPEED)


def metrics(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(name, meaning) of those metrics that are known here."""
    return tuple((name, METRICS[name]) for name in names if name in METRICS)


def model_notes(name: str) -> tuple[str, ...]:
    """The paragraphs of a model file's docstring that begin with "What": what to expect of it and what its numbers mean."""
    text = (catalog.FOLDER / f"{name}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text)) or ""
    paragraphs = (re.sub(r"\s+", " ", paragraph).strip() for paragraph in re.split(r"\n\s*\n", docstring))
    return tuple(paragraph for paragraph in paragraphs if paragraph.startswith("What "))


def field_notes(config: type) -> dict[str, str]:
    """Field -> the sentence below it in the class's source."""
    import inspect

    body = ast.parse(inspect.getsource(config).lstrip()).body[0]
    assert isinstance(body, ast.ClassDef)
    notes: dict[str, str] = {}
    for before, after in pairwise(body.body):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(after, ast.Expr):
            text = ast.literal_eval(after.value)
            notes[before.target.id] = re.sub(r"\s+", " ", text).strip()
    return notes
