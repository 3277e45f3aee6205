"""What is seen of a run: progress, grids, curves and the report."""
