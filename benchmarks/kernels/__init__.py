"""The expert kernels on a GPU: right first, then how much of the memory's bandwidth they use."""
