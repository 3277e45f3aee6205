"""One file per metric, and the feature extractors they share."""
