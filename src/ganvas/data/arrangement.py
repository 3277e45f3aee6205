"""What the pictures of a source are to each other; a file of its own, for settings are read without torch."""

from typing import Literal

Arrangement = Literal["auto", "images", "pairs", "unpaired", "left-right", "right-left"]
"""What the pictures of a folder or zip are to each other.

auto:       two domains where folders are called `trainA` and `trainB`, or `A` and `B`; else single images.
images:     single images; folders are classes whatever they are called.
pairs:      two folders of the same file names: pictures of one name belong together.
unpaired:   two folders of which nothing belongs together, whatever the files are called.
left-right: every picture holds a pair side by side, from its left half to its right half; `right-left` is the other way round.
"""
