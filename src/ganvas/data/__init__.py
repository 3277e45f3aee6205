"""From a source named on the command line to a batch of tensors."""
