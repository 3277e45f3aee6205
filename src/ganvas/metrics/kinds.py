"""The names of what samples and data can be compared on; a file of its own, for the command line reads it without torch."""

from typing import Literal

Kind = Literal["auto", "classifier", "rotations", "pixels", "patches"]
"""What samples and data are compared on.

auto:       what the data allow: classifier, rotations or patches, in this order.
classifier: features of a small classifier trained on the data; they need labels.
rotations:  features of a small network trained on the data to tell how far an image was turned.
pixels:     the pixels themselves, reduced to at most 16 x 16; weak.
patches:    a kernel distance between small patches at several scales; for one image, or few.
"""
