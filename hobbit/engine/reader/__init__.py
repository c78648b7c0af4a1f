"""The streaming reader: any transformers MoE checkpoint, one expert or one tensor at a time."""

from __future__ import annotations

from hobbit.engine.reader.reader import CheckpointReader
from hobbit.engine.reader.tensor_file import TensorFile

__all__ = ["CheckpointReader", "TensorFile"]
