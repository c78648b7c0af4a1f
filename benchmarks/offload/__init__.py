"""A model larger than memory, from disk: hobbit beside accelerate's disk offload on the same weights."""
