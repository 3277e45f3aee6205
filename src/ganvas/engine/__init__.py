"""The contract, the loop that plays every game, and what keeps a run exact: draws, averages, checkpoints, ranks."""
