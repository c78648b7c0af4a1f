"""The bars of the CUDA engine, measured in one call: `python -m benchmarks.proof`."""
