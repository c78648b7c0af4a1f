"""The bench of a real device: a synthetic model of a geometry, a trained model's routing, and a clock."""
