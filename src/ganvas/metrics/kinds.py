"""The names of what samples and data can be compared on, and of the numbers; apart, for the command line reads them without torch."""

from typing import Literal

Kind = Literal["auto", "classifier", "rotations", "inception", "pixels", "patches"]
"""What samples and data are compared on.

auto:       what the data allow: classifier, rotations or patches, in this order.
classifier: features of a small classifier trained on the data; they need labels.
rotations:  features of a small network trained on the data to tell how far an image was turned.
inception:  the Inception network of published FIDs; its weights are fetched once.
pixels:     the pixels themselves, reduced to at most 16 x 16; weak.
patches:    a kernel distance between small patches at several scales; for one image, or few.
"""

Metric = Literal[
    "fd",
    "kid",
    "is",
    "prdc",
    "classes",
    "modes",
    "wasserstein",
    "swd",
    "spectrum",
    "ms-ssim",
    "parzen",
    "birthday",
    "copying",
    "ppl",
    "nll",
    "reconstruction",
    "codes",
    "intra-fd",
    "gan-train",
    "gan-test",
    "augment",
    "factors",
    "accuracy",
    "pairs",
]
"""The numbers that can be asked for.

fd:             Frechet distance of features (FID where they are the Inception network's).
kid:            kernel distance of features, unbiased (KID where they are the Inception network's).
is:             Inception Score, of the class probabilities of the features' network.
prdc:           improved precision and recall, density, coverage.
classes:        classes found in the samples, and the classifier's confidence.
modes:          modes found and the divergence of their shares: of a mixture of Gaussians, or the classes of the data.
wasserstein:    sliced Wasserstein distance of points.
swd:            sliced Wasserstein distance of patches of Laplacian pyramids.
spectrum:       difference of power spectra.
ms-ssim:        likeness of pairs of samples: variety.
parzen:         Parzen-window log-likelihood of pixels, a historical number.
birthday:       number of distinguishable samples, from duplicates.
copying:        whether samples are nearer to training images than held-out images are.
ppl:            perceptual path length; the model must have codes.
nll:            likelihood of the test split in nats and bits per dimension; the model must have one.
reconstruction: PSNR and SSIM of the test images through codes and back; the model must encode.
codes:          classes in code space: of the nearest code, and kept on the way back; the model must encode, the data have labels.
intra-fd:       Frechet distance within each class; the model must take labels.
gan-train:      accuracy on real images of a classifier trained on samples; the model must take labels.
gan-test:       accuracy on samples of a classifier trained on real images; the model must take labels.
augment:        accuracy of a classifier trained on few real images, alone and with samples; the model must take labels.
accuracy:       how often the model itself tells the class of an image of the split; the model must classify.
pairs:          PSNR, SSIM, perceptual and Frechet distance of translations to the truth; the model must translate, the data be pairs.
factors:        agreement of the model's own categories with classes, best matched; its code must have named parts.
"""

DEFAULT: tuple[Metric, ...] = ("fd", "prdc", "classes")
"""Of images; of points wasserstein, fd, prdc and modes."""
