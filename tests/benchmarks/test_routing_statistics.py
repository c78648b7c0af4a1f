"""Routing statistics on cases small enough to count by hand."""

import pytest
import torch

from benchmarks.training.routing_statistics import load_shares, look_ahead, repeats, spread


def test_repeats_count_first_choices_alone() -> None:
    choices = torch.tensor([[[[0, 1], [0, 2], [2, 0], [2, 1]]]])  # [L=1, B=1, S=4, 2]
    assert repeats(choices) == pytest.approx([2 / 3])


def test_look_ahead_is_perfect_where_the_gate_inputs_do_not_change() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(1, 2, 5, 8).expand(3, -1, -1, -1)
    routers = torch.randn(3, 4, 8)
    choices = torch.einsum("lbsd,led->lbse", inputs, routers).topk(2).indices
    result = look_ahead(inputs, routers, choices, 2)
    assert result == {"first": [1.0], "recall": [1.0]}


def test_recall_ignores_the_order_of_the_two() -> None:
    inputs = torch.tensor([[[[1.0, 0.5]]], [[[0.0, 0.0]]]])
    routers = torch.eye(2).expand(2, 2, 2)
    result = look_ahead(inputs, routers, torch.tensor([[[[0, 1]]], [[[1, 0]]]]), 1)
    assert result == {"first": [0.0], "recall": [1.0]}


def test_load_shares_and_their_spread() -> None:
    shares = load_shares(torch.tensor([[[[0, 1], [0, 2]]]]), experts=4)
    assert shares == [[0.5, 0.25, 0.25, 0.0]]
    assert spread([0.25] * 4) == {"min": 0.25, "max": 0.25, "entropy": pytest.approx(1.0)}
