"""Training of the bundled model: a 32-layer, 8-expert Mixtral of 15.7 million parameters."""
