"""attach and detach: what is taken, what is given back, and what a failure leaves behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hobbit_paper.stacked_gate import StackedGateComponent
from hobbit_quantizers.quanto import QuantoQuantizer
from torch import nn

from hobbit.engine.anatomy import find_layers
from hobbit.engine.attachment import UNREADABLE, Attachment
from hobbit.engine.experts import IMPLEMENTATION
from hobbit.engine.resident import ResidentServer
from hobbit.errors import ModelError
from hobbit.trace import TraceHeader, TraceRecorder
from tests.engine.models import tiny_model
from tests.engine.runs import Policy, prompts, running


def expert_bytes(model: nn.Module) -> int:
    return sum(
        p.untyped_storage().nbytes() for layer in find_layers(model) for p in layer.experts.parameters()
    )


def test_the_model_gives_its_experts_up_and_gets_them_back() -> None:
    model = tiny_model()
    ids, _ = prompts(1, 20)
    before, owned = model(ids).logits, expert_bytes(model)
    with running(model, Policy(), 8):
        taken = sum(p.untyped_storage().nbytes() for n, p in model.named_parameters() if ".experts." in n)
        assert taken == 0
        assert torch.equal(model(ids).logits, before)
    assert expert_bytes(model) == owned
    assert model.config._experts_implementation == "eager"
    assert torch.equal(model(ids).logits, before)
    with running(model, Policy(), 8):
        assert torch.equal(model(ids).logits, before)


def test_without_a_native_copy_the_model_says_that_it_is_empty() -> None:
    model = tiny_model()
    with running(model, Policy(quantizer=QuantoQuantizer(), high="int8"), 8) as run:
        assert torch.isfinite(model(prompts(1, 5)[0]).logits).all()
        assert not run.attachment.detach()
        with pytest.raises(ModelError, match="load it again"):
            model(prompts(1, 5)[0])


def test_outputs_need_no_gradient_even_where_torch_would_take_one() -> None:
    model = tiny_model()
    with running(model, Policy(prefetcher=StackedGateComponent()), 8):
        layer = find_layers(model)[0].experts
        hidden = torch.randn(1, 64, dtype=torch.bfloat16, requires_grad=True)
        weights = torch.tensor([[0.6, 0.4]], requires_grad=True)
        assert not layer(hidden, torch.tensor([[1, 0]]), weights).requires_grad


def test_experts_are_taken_by_one_runtime_at_a_time() -> None:
    model = tiny_model()
    with running(model, Policy(), 8) as run, pytest.raises(ModelError, match="experts are taken"):
        Attachment(model, run.assembly.runtime, run.live)


def test_a_failing_pass_leaves_the_model_usable() -> None:
    model = tiny_model()
    ids, _ = prompts(1, 20)
    expected = model(ids).logits
    with running(model, Policy(), 8) as run:
        router = run.attachment.layers[2].router
        assert router is not None
        handle = router.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model(ids)
        handle.remove()
        assert torch.equal(model(ids).logits, expected)
    assert torch.equal(model(ids).logits, expected)


def test_passes_and_sequences_are_told() -> None:
    heard: list[object] = []

    class Listener(ResidentServer):
        def begin_sequence(self) -> None:
            heard.append("sequence")

        def begin_pass(self, tokens: int, context: int) -> None:
            heard.append((tokens, context))

        def end_pass(self) -> None:
            heard.append("end")

    model = tiny_model()
    own = {layer.index: layer for layer in find_layers(model)}

    def tensors(layer: int, expert: int) -> dict[str, torch.Tensor]:
        return {name: own[layer].experts.get_parameter(name)[expert] for name in own[layer].traits.names}

    ids, mask = prompts(2, 7)
    with Attachment(model, Listener(tensors), None):
        out = model(ids, attention_mask=mask, use_cache=True)
        model(ids[:, :1], past_key_values=out.past_key_values)
        model(inputs_embeds=model.get_input_embeddings()(ids))
    assert heard == ["sequence", (14, 0), "end", (2, 7), "end", "sequence", (14, 0), "end"]


def test_a_recording_holds_what_the_routers_said() -> None:
    model = tiny_model()
    ids, _ = prompts(1, 9)
    header = TraceHeader("tiny", 4, 8, 2, depth=2, dtype="bfloat16")
    recorder = TraceRecorder(header)
    with running(model, Policy(), 8, recorder, depth=2):
        out = model(ids, use_cache=True, output_router_logits=True)
        model(ids[:, :1], past_key_values=out.past_key_values)
    trace = recorder.trace()
    spans = list(trace.passes())
    assert [(span.start, span.stop, span.context) for span in spans] == [(0, 9, 0), (9, 10, 9)]
    assert trace.token_ids.tolist() == [*ids[0].tolist(), int(ids[0, 0])]
    for routing, logits in zip(trace.routings(spans[0]), out.router_logits, strict=True):
        assert routing.logits is not None
        assert np.array_equal(routing.logits, logits.detach().float().numpy())
        chosen = np.sort(np.argsort(-routing.logits, axis=1)[:, :2], axis=1)
        assert np.array_equal(np.sort(routing.experts, axis=1), chosen)


def test_routers_that_cannot_be_read_are_noted() -> None:
    model = tiny_model()
    for layer in find_layers(model):
        gate = layer.block._modules.pop("gate")
        layer.block.chooser = gate
        layer.block.forward = _renamed(layer.block)  # type: ignore[method-assign]
    with running(model, Policy(prefetcher=StackedGateComponent()), 8) as run:
        assert run.attachment.notes == [UNREADABLE]
        assert torch.isfinite(model(prompts(1, 5)[0]).logits).all()


def _renamed(block: nn.Module):  # type: ignore[no-untyped-def]
    def forward(hidden: torch.Tensor) -> torch.Tensor:
        flat = hidden.view(-1, hidden.shape[-1])
        _, weights, index = block.chooser(flat)  # type: ignore[operator]
        return block.experts(flat, index, weights).view(hidden.shape)  # type: ignore[operator]

    return forward


def test_a_dense_model_is_refused() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    with pytest.raises(ModelError, match="not a mixture of experts"):
        find_layers(LlamaForCausalLM(LlamaConfig(vocab_size=10, **sizes)))


def test_the_implementation_is_registered() -> None:
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    assert IMPLEMENTATION in ALL_EXPERTS_FUNCTIONS
