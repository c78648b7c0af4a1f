"""The engine: a transformers MoE model whose experts are served by a runtime."""

from __future__ import annotations
