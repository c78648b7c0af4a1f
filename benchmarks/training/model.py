"""Mixtral as it is trained: the maths of `MixtralForCausalLM`, with every expert computed densely.

T tokens, B rows, S positions, D hidden, H heads, L layers, E experts, F width of an expert, V vocabulary.

A layer's experts are one product [T, D] x [D, E*F]; the hidden units are multiplied by their expert's gate
weight, which is zero for the experts that top-2 left out, and one product [T, E*F] x [E*F, D] adds them up.
That costs four times the arithmetic of a sparse layer and has no gathers, no dynamic shapes and few launches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; the defaults are the bundled model's."""

    vocabulary: int = 4096
    hidden: int = 128
    width: int = 128
    layers: int = 32
    experts: int = 8
    heads: int = 4
    positions: int = 1024
    theta: float = 10000.0
    epsilon: float = 1e-5
    dropout: float = 0.0  # of the embedding and of what each branch adds, in training only


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Return x / rms(x) * weight, in float32."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary embedding to [B, S, H, D/H], halves paired as in transformers."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def top2_gates(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return gate weights (zero where not selected, else summing to one) and the selection mask, [T, E]."""
    experts = torch.arange(probabilities.shape[-1], device=probabilities.device)
    first, first_index = probabilities.max(-1, keepdim=True)
    rest = probabilities.masked_fill(experts == first_index, -1.0)
    second, second_index = rest.max(-1, keepdim=True)
    selected = (experts == first_index) | (experts == second_index)
    return torch.where(selected, probabilities, 0.0) / (first + second), selected


class Block(nn.Module):
    """One decoder layer. Matrices are stacked as [n, 128, 128] so that Muon can treat them as one batch."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        s = self.shape = shape
        scale, depth = 0.5 / math.sqrt(s.hidden), 1 / math.sqrt(2 * s.layers)
        self.attention_norm = nn.Parameter(torch.ones(s.hidden))
        self.expert_norm = nn.Parameter(torch.ones(s.hidden))
        self.qkv = nn.Parameter(torch.randn(3, s.hidden, s.hidden) * scale)
        self.output = nn.Parameter(torch.randn(1, s.hidden, s.hidden) * scale * depth)
        self.router = nn.Parameter(torch.randn(s.experts, s.hidden) * 0.02)
        self.gate = nn.Parameter(torch.randn(s.experts, s.width, s.hidden) * scale)
        self.up = nn.Parameter(torch.randn(s.experts, s.width, s.hidden) * scale)
        self.down = nn.Parameter(torch.randn(s.experts, s.hidden, s.width) * scale * depth)

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the attention output [B, S, D] for the residual stream x."""
        rows, positions, hidden = x.shape
        normed = rms_norm(x, self.attention_norm, self.shape.epsilon).to(dtype)
        qkv = F.linear(normed, self.qkv.reshape(3 * hidden, hidden).to(dtype))
        q, k, v = qkv.view(rows, positions, 3, self.shape.heads, -1).unbind(2)
        q, k = rotate(q, cos, sin).to(dtype), rotate(k, cos, sin).to(dtype)
        mixed = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True
        )
        added = F.linear(mixed.transpose(1, 2).reshape(rows, positions, hidden), self.output[0].to(dtype))
        return F.dropout(added, self.shape.dropout, self.training)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the residual stream [B, S, D] and this layer's balance and z losses (scalars).

        Balance is E/K * sum over experts of (share of selections) * (mean probability): 1 when loads are even
        (Switch Transformer, arXiv 2101.03961, eq. 4, with K = 2); z is the mean squared logsumexp of logits.
        """
        s = self.shape
        x = x + self.attend(x, cos, sin, dtype)
        flat = rms_norm(x, self.expert_norm, s.epsilon).reshape(-1, s.hidden)  # [T, D]
        logits = F.linear(flat, self.router)  # [T, E]
        probabilities = logits.softmax(-1)
        gates, selected = top2_gates(probabilities)
        balance = (selected.float().mean(0) * probabilities.mean(0)).sum() * (s.experts / 2)
        z = logits.logsumexp(-1).square().mean()
        low = flat.to(dtype)
        gated = F.linear(low, self.gate.reshape(-1, s.hidden).to(dtype)).view(-1, s.experts, s.width)
        lifted = F.linear(low, self.up.reshape(-1, s.hidden).to(dtype)).view(-1, s.experts, s.width)
        units = (F.silu(gated.float()) * lifted.float() * gates[..., None]).to(dtype)  # [T, E, F]
        down = self.down.permute(0, 2, 1).reshape(-1, s.hidden).to(dtype)  # [E*F, D]
        added = F.dropout(units.flatten(1) @ down, s.dropout, self.training)
        return x + added.view_as(x), balance, z


class Model(nn.Module):
    """The language model; float32 parameters, products in `dtype`."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.shape, self.dtype = shape, dtype
        self.embedding = nn.Parameter(torch.randn(shape.vocabulary, shape.hidden) * 0.05)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden))
        self.head = nn.Parameter(torch.randn(shape.vocabulary, shape.hidden) * 0.02)
        size = shape.hidden // shape.heads
        frequency = shape.theta ** (-torch.arange(0, size, 2).float() / size)
        angle = torch.arange(shape.positions).float()[:, None, None] * frequency  # [S, 1, D/H/2]
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def project(self, x: Tensor) -> Tensor:
        """Return logits [B, S, V] of the residual stream."""
        normed = rms_norm(x, self.norm, self.shape.epsilon).to(self.dtype)
        return F.linear(normed, self.head.to(self.dtype))

    def cross_entropy(self, x: Tensor, targets: Tensor) -> Tensor:
        """Return the mean next-token loss in nats."""
        return F.cross_entropy(self.project(x).float().flatten(0, 1), targets.flatten())

    def stream(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the last residual stream [B, S, D] and the balance and z losses summed over layers."""
        x = F.dropout(F.embedding(tokens, self.embedding), self.shape.dropout, self.training)
        positions = tokens.shape[1]
        cos, sin = self.cos[:positions], self.sin[:positions]
        balance = z = x.new_zeros(())
        for block in self.blocks:
            x, layer_balance, layer_z = block(x, cos, sin, self.dtype)
            balance, z = balance + layer_balance, z + layer_z
        return x, balance, z

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits [B, S, V]."""
        return self.project(self.stream(tokens)[0])

    def losses(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (cross-entropy, balance, z) for windows [B, S + 1]."""
        x, balance, z = self.stream(tokens[:, :-1])
        return self.cross_entropy(x, tokens[:, 1:]), balance, z

    def compile_regions(self) -> None:
        """Compile one block, used for every layer, and the head with its loss."""
        for block in self.blocks:
            block.compile(fullgraph=True, dynamic=False)
        self.cross_entropy = torch.compile(self.cross_entropy, fullgraph=True, dynamic=False)  # type: ignore[method-assign]
