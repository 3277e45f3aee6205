"""The page of `benchmarks/quality.py`: tables of the figures that are kept, beside published ones."""

import math
import statistics

from quality_plan import BESIDE, CARD, CITIES, EARLY, FEW, LENGTHS, MODERN, PAGE, POINTS, Figure

GUARDED = "Guarded is `acgan` with a weight of 0.1 on the generator's class term (`quick` has 0.5); neither trains the classifier on fakes."
FEW_PUBLISHED = """| Improved GAN, published | | | 99.07 ± 0.07 |
| Triple-GAN, published | | | 99.09 ± 0.58 |"""
PUBLISHED = """| GAN, published | 6.3 ± 0.5 | 98.2 | 0.45 | 17.3 ± 0.8 | 94.8 | 0.70 |
| ALI, published | 6.6 ± 0.3 | 97.6 | 0.36 | 24.1 ± 0.4 | 95.7 | 0.14 |
| PacGAN2, published | 7.9 ± 0.1 | 95.6 | 0.07 | 23.8 ± 0.7 | 91.3 | 0.13 |
| PacGAN4, published | 7.8 ± 0.1 | 95.9 | 0.07 | 24.8 ± 0.2 | 93.6 | 0.04 |"""
SHOWN = {
    "coverage": "coverage {:.3f}",
    "density": "density {:.3f}",
    "fd": "fd {:.4f}",
    "fd_early": f"fd after {EARLY:,} images {{:.4f}}",
    "classes": "{:.0f} classes",
    "gan_test": "label agreement {:.3f}",
    "gan_test_worst": "worst label {:.3f}",
    "accuracy": "its classifier {:.4f} right",
    "factor_agreement": "code to digit {:.3f}",
    "factor_agreement_of_data": "digit to code {:.3f}",
    "nats": "test images {:.2f} nats",
}


def page(figures: list[Figure]) -> list[str]:
    images = [one for one in figures if one.data not in (*POINTS, FEW) and one.asked == "images"]
    full = [one for one in images if one.images >= LENGTHS.get(one.model, 600_000)]
    machines = ", ".join(sorted({one.machine for one in figures if not one.model.endswith(CARD)}))
    lines = [
        "# Quality",
        "",
        "Command: `python benchmarks/quality.py` (the `quick` presets; on points that is `quick-points`). 10,000 samples against the",
        "10,000 test images, features of a classifier trained on the data set (99 % on MNIST), averaged weights, k = 5. Label agreement is",
        "the share of samples in which that classifier sees the label asked for; code to digit the same for InfoGAN's categories, matched",
        f"to the digits one to one. Minutes are wall time of training on {machines}, beside other work on the machine.",
        "",
        "## At full length",
        "",
        "Samples of `pixelcnn` and `bsgan` are black and white and the test images grey, so their coverage and fd say little. Nats do not",
        "compare: those of `vae` are a bound, of images binarised at one half; `pixelcnn` is exact, on images binarised at random.",
        *([GUARDED] if any(one.model.endswith("guarded") for one in full) else []),
        "",
        "| model | data | images | seed | minutes | measured |",
        "|---|---|---|---|---|---|",
        *(f"| {named(one.model)} | {one.data} | {one.images:,} | {one.seed} | {one.minutes:.1f} | {said(one.values)} |" for one in full),
        "",
        *middle([one.values["factor_agreement"] for one in full if "factor_agreement" in one.values]),
        "## A fifth of the length, three seeds",
        "",
        "Median, and the least and the largest of the seeds 0, 1 and 2.",
        "",
        "| model | data | images | minutes | coverage | fd | classes | agreement |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model in dict.fromkeys(one.model for one in images):
        fifth = [one for one in images if one.model == model and one.images <= LENGTHS.get(model.split(", ")[0], 600_000) // 5 + 5_000]
        if len(fifth) == 3:
            lines.append(seeds(fifth))
    lines += ["", *modern([one for one in figures if one.data == "mnist" and one.model in (MODERN, *BESIDE)])]
    if PAGE.with_name("truncation.txt").exists():
        lines += ["", *truncation()]
    lines += ["", *on_cards([one for one in figures if one.model.endswith(CARD)])]
    lines += ["", *with_few_labels([one for one in figures if one.data == FEW])]
    lines += ["", *on_points([one for one in figures if one.data in ("ring", "grid")])]
    return [*lines, "", *cities([one for one in figures if one.data == CITIES])]


def named(model: str) -> str:
    """The name of a model, and of a variant after a comma."""
    name, *rest = model.split(", ")
    return ", ".join([f"`{name}`", *rest])


def middle(agreements: list[float]) -> list[str]:
    if not agreements:
        return []
    return [f"The median of code to digit over {len(agreements)} seeds is {statistics.median(agreements):.3f}.", ""]


def said(values: dict[str, float]) -> str:
    return ", ".join(text.format(values[name]) for name, text in SHOWN.items() if name in values)


def seeds(runs: list[Figure]) -> str:
    def spread(name: str, form: str) -> str:
        found = [one.values[name] for one in runs if name in one.values]
        low, middle, high = (format(f(found), form) for f in (min, statistics.median, max)) if found else ("", "", "")
        return f"{middle} ({low} to {high})" if found else ""

    agreement = spread("gan_test", ".3f") or spread("factor_agreement", ".3f")
    first, minutes = runs[0], statistics.median(one.minutes for one in runs)
    numbers = f"{spread('coverage', '.3f')} | {spread('fd', '.4f')} | {spread('classes', '.0f')} | {agreement}"
    return f"| {named(first.model)} | {first.data} | {first.images:,} | {minutes:.1f} | {numbers} |"


def modern(figures: list[Figure]) -> list[str]:
    lines = [
        "## A modern baseline",
        "",
        f"`{MODERN}` beside {' and '.join(f'`{model}`' for model in BESIDE)}, first at equal images, then at equal minutes (those of the",
        f"median run of `{MODERN}`), on one thread. Median, and the least and the largest of the seeds 0, 1 and 2.",
        "",
        "| equal | model | data | images | minutes | coverage | fd | classes | agreement |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for asked in ("images", "minutes"):
        for model in (MODERN, *BESIDE):
            same = "images" if model == MODERN else asked  # its runs of so many images say how many minutes
            some = [one for one in figures if one.model == model and one.asked == same and (same == "minutes" or one.images < 125_000)]
            if len(some) == 3:
                lines.append(f"| {asked} {seeds(some)}")
    return lines


def truncation() -> list[str]:
    return [
        "## Truncation",
        "",
        "`ganvas truncate` of the `biggan` above: 2,000 samples of each threshold against 2,000 test images, so compare within this table",
        "alone. The smaller the largest entry of a code, the more precise the samples, and the fewer kinds of them.",
        "",
        "```",
        *PAGE.with_name("truncation.txt").read_text(encoding="utf-8").splitlines(),
        "```",
        "",
        "![The same codes and labels at each threshold](truncation.png)",
        "![Precision against recall](truncation-curve.png)",
    ]


def on_cards(figures: list[Figure]) -> list[str]:
    lines = ["## On a GPU", ""]
    if not figures:
        return [*lines, "Not measured: no run of these had one."]
    lines += [
        "CIFAR-10, a few minutes for each on one card, two threads of the processor; bfloat16 autocast, kernels that repeat bit for bit.",
        "Images are those that the discriminator saw. Presets are for hours, so some fields differ (`ON_CARDS`, quality_plan.py).",
        "Figures are of weights in single precision; `generators/` has the generators in half: pixels differ by under 1/255.",
        "",
        "| model | card | images | minutes | images/s | measured |",
        "|---|---|---|---|---|---|",
    ]
    for one in figures:
        name, rate = one.model.split(", ")[0], one.values["images_per_second"]
        lines.append(f"| `{name}` | {one.machine} | {one.images:,} | {one.minutes:.1f} | {rate:,.0f} | {said(one.values)} |")
    return lines


def with_few_labels(figures: list[Figure]) -> list[str]:
    return [
        "## 100 labels",
        "",
        "The training set of MNIST with ten labels of each digit (`few:100:mnist`); per cent of the test images that the model's own",
        "classifier tells. `classifier` is the network that judges the other tables, trained on the 100 images alone. Published rows:",
        "Salimans et al. 2016 (arXiv:1606.03498, table 1) and Li et al. 2017 (arXiv:1703.02291, table 1), other networks and budgets.",
        "",
        "| model | images | minutes | accuracy |",
        "|---|---|---|---|",
        *(f"| `{one.model}` | {one.images:,} | {one.minutes:.1f} | {100 * one.values['accuracy']:.2f} |" for one in figures),
        *FEW_PUBLISHED.splitlines(),
    ]


def on_points(figures: list[Figure]) -> list[str]:
    lines = [
        "## Modes of points",
        "",
        "Three seeds each unless said (mean, standard error), 2,500 samples: modes found with a sample within three standard deviations,",
        "the share of samples so near to a mode (HQ, in per cent), and the divergence of the modes' shares from the data's in nats.",
        "Published rows: Lin et al. 2018 (arXiv:1712.04086, table 1), ten runs, networks and budgets of their own, reverse divergence.",
        "`pacgan`, m = 1, is its game of single samples: the same networks and numbers, as many packs and updates. `modular` has the parts",
        "of `gan` here, and plays its game bit for bit. Models whose networks are convolutions take images alone.",
        "",
        "| model | ring, of 8 | HQ | KL | grid, of 25 | HQ | KL |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in dict.fromkeys(one.model for one in figures):
        cells = []
        for data in ("ring", "grid"):
            runs = [one.values for one in figures if one.model == model and one.data == data]
            found = [values["modes_found"] for values in runs]
            error = f"± {statistics.stdev(found) / math.sqrt(len(found)):.1f}" if len(found) > 1 else "(one seed)"
            quality = [100 * values["high_quality"] for values in runs]
            skew = [values["modes_kl"] for values in runs if "modes_kl" in values]
            cells += [f"{statistics.mean(found):.1f} {error}" if found else ""]
            cells += [f"{statistics.mean(some):{form}}" if some else "" for some, form in ((quality, ".1f"), (skew, ".2f"))]
        lines.append(f"| {named(model)} | " + " | ".join(cells) + " |")
    return [*lines, *PUBLISHED.splitlines()]


def cities(figures: list[Figure]) -> list[str]:
    lines = [
        "## Two cities",
        "",
        "`fgan` on `two-cities` with a linear generator, whose samples are one Gaussian: the shares of 2,500 samples in the cold city",
        "(below 10 degrees) and in the warm one (above 20), for each seed. Forward divergence covers both; reverse may keep to one.",
        "",
        "| divergence | " + " | ".join(f"seed {seed}" for seed in range(5)) + " |",
        "|" + "---|" * 6,
    ]
    for model in dict.fromkeys(one.model for one in figures):
        shares = [f"{one.values['cold']:.2f}, {one.values['warm']:.2f}" for one in figures if one.model == model]
        lines.append(f"| {model.partition(', ')[2] or 'kl'} | " + " | ".join(shares) + " |")
    return lines
