"""What an evaluation says: numbers, and the protocol without which they mean nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_MEANINGS = {
    "fd": "Frechet distance of the features; 0 is best",
    "fid": "Frechet Inception distance; 0 is best",
    "kid": "kernel distance of the features, unbiased; 0 is best",
    "kid_deviation": "standard deviation of it over subsets",
    "is": "Inception Score: sharp and even classes; the number of classes is best",
    "is_deviation": "standard deviation of it over splits",
    "precision": "share of samples among the real ones (quality)",
    "recall": "share of real ones among the samples (variety)",
    "density": "how densely the reals surround a sample; 1 for the data itself",
    "coverage": "share of reals with a sample near; 0.969 for the data itself",
    "classes": "classes found in the samples",
    "confidence": "mean probability of a sample's likeliest class",
    "patch_kd": "kernel distance of patches (squared MMD, unbiased); 0 for the data itself, give or take chance",
    "diversity": "standard deviation of a pixel over the samples",
    "diversity_of": "that of the data, or of the pixels of their one image",
    "wasserstein": "mean distance between projections of the sets, in the data's units; 0 is best",
    "modes_found": "modes found: with a sample within 3 sigma, or of that class",
    "modes_of": "modes there are",
    "modes_kl": "divergence of the modes' shares from the data's, in nats; 0 is best",
    "high_quality": "share of samples within 3 sigma of a mode",
    "swd": "sliced Wasserstein distance of patches, times 1,000; 0 is best",
    "spectrum": "difference of log10 power; 0 is best",
    "ms_ssim": "likeness of two samples; near that of the data is best",
    "ms_ssim_of_data": "likeness of two images of the data",
    "parzen": "Parzen-window log-likelihood of test images in nats; higher is better, but it misleads",
    "parzen_error": "standard error of it",
    "support": "distinguishable samples there seem to be; at least that of the data is best",
    "support_of_data": "the same of as many real images",
    "copying": "how often a sample is nearer to the training images than a held-out image; 0.5 is best, 1 a memory",
    "copies": "share of samples that are training images to a grey level",
    "ppl": "perceptual path length; lower is smoother",
    "nll_nats": "negative log-likelihood of the test images (or a bound of it) in nats; lower is better",
    "nll_error": "standard error of it",
    "log_z": "logarithm of the model's constant, estimated",
    "log_z_error": "standard error of that estimate, the same for all images",
    "bits_per_dim": "the same in bits per value",
    "psnr": "of images through codes and back, in dB; higher is better",
    "ssim": "of images through codes and back; 1 is best",
    "code_1nn": "share of images whose nearest training code has their class; 1 is best",
    "code_1nn_untrained": "the same before training",
    "class_kept": "share of images whose class is found in what comes back of their code; 1 is best",
    "intra_fd": "mean Frechet distance within a class; 0 is best",
    "intra_fd_worst": "that of the worst class",
    "gan_train": "accuracy on real images of a classifier that was trained on samples",
    "gan_train_of_data": "the same, trained on as many real images",
    "gan_test": "accuracy of a classifier of the data on samples, given what they were asked to be",
    "gan_test_worst": "that of the worst class",
    "augment": "accuracy of a classifier trained on few real images and samples",
    "augment_alone": "the same without samples",
    "accuracy": "share of images whose class the model itself tells; 1 is best",
    "pair_psnr": "of translations and the truth, in dB; higher is better",
    "pair_ssim": "of translations and the truth; 1 is best",
    "pair_perceptual": "distance of a network's maps of translations and the truth; 0 is best",
    "pair_fd": "Frechet distance of translations to the truths; 0 is best",
    "input_psnr": "of the inputs as they are and the truth: what doing nothing would give",
    "input_ssim": "the same of the inputs as they are",
    "input_perceptual": "the same of the inputs as they are",
    "factor_agreement": "share of samples whose category is matched with their class; 1 is best",
    "factor_agreement_of_data": "the same of real images, as the model tells their category",
}
_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The outcome of `evaluate` or `evaluate_points`.

    `values` holds the numbers by name, all finite. `shares` holds the share of samples that the classifier puts in each class, in the
    data's order; empty without a classifier. `protocol` holds JSON values: features, reference, samples, neighbours, seconds.
    """

    values: Mapping[str, float]
    protocol: Mapping[str, Any]
    shares: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, strings and finite numbers."""
        return asdict(self)

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "Evaluation":
        """The inverse of `to_json`."""
        return Evaluation(values=stored["values"], protocol=stored["protocol"], shares=stored["shares"])

    def to_text(self) -> str:
        """A small table, and below it the protocol in words."""
        lines = [f"{name:<17}{_number(value):>9}  {_MEANINGS[name]}" for name, value in self.values.items()]
        if self.shares:
            shown = sorted(self.shares.items(), key=lambda item: item[1]) if len(self.shares) > _SHOWN else list(self.shares.items())
            title = "class shares" if len(self.shares) <= _SHOWN else f"rarest of {len(self.shares)} classes"
            lines += ["", f"{title}: " + "  ".join(f"{name} {share:.3f}" for name, share in shown[:_SHOWN])]
        return "\n".join([*lines, "", *(f"{title}: {_words(entry)}" for title, entry in self.protocol.items())])


def _number(value: float) -> str:
    """Counts as they are, small numbers with four digits."""
    return f"{value:.0f}" if value == int(value) and abs(value) >= 1 else f"{value:.4g}"


def _words(entry: object) -> str:
    """One entry of a protocol on one line; hashes are cut, as they only tell one from another."""
    if not isinstance(entry, Mapping):
        return f"{entry:g}" if isinstance(entry, float) else str(entry)
    pairs = {name: str(value)[:12] if name in ("hash", "fingerprint") else value for name, value in entry.items()}
    return "; ".join(f"{name.replace('_', ' ')} {_words(value)}" for name, value in pairs.items())
