"""Write trained weights as a standard Hugging Face checkpoint, and read one back.

python -m benchmarks.training.export --checkpoint RUN/latest.pt --tokenizer TOKENIZER --out MODEL
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, GenerationConfig, MixtralConfig, MixtralForCausalLM

from benchmarks.training.model import Block, Model, Shape


def mixtral_config(shape: Shape, document: int = 0, pad: int = 1) -> MixtralConfig:
    """Return the transformers configuration of this shape."""
    return MixtralConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.hidden // shape.heads,
        max_position_embeddings=shape.positions,
        rms_norm_eps=shape.epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.theta},
        num_local_experts=shape.experts,
        num_experts_per_tok=2,
        router_aux_loss_coef=0.01,
        tie_word_embeddings=False,
        bos_token_id=document,
        eos_token_id=document,
        pad_token_id=pad,
    )


def to_mixtral(model: Model) -> MixtralForCausalLM:
    """Return the same function as a float32 `MixtralForCausalLM`."""
    weights: dict[str, Tensor] = {
        "model.embed_tokens.weight": model.embedding,
        "model.norm.weight": model.norm,
        "lm_head.weight": model.head,
    }
    for index, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        p = f"model.layers.{index}."
        weights[p + "input_layernorm.weight"] = block.attention_norm
        weights[p + "post_attention_layernorm.weight"] = block.expert_norm
        for name, matrix in zip("qkv", block.qkv, strict=True):
            weights[f"{p}self_attn.{name}_proj.weight"] = matrix
        weights[p + "self_attn.o_proj.weight"] = block.output[0]
        weights[p + "mlp.gate.weight"] = block.router
        weights[p + "mlp.experts.gate_up_proj"] = torch.cat((block.gate, block.up), dim=1)
        weights[p + "mlp.experts.down_proj"] = block.down
    mixtral = MixtralForCausalLM(mixtral_config(model.shape))
    mixtral.load_state_dict({name: tensor.detach().float().cpu() for name, tensor in weights.items()})
    return mixtral


def export(model: Model, tokenizer: Path, out: Path) -> None:
    """Save bfloat16 shards under 15 MB, configurations and tokenizer to `out`."""
    mixtral = to_mixtral(model).to(torch.bfloat16)
    document = mixtral.config.eos_token_id
    mixtral.generation_config = GenerationConfig(
        bos_token_id=document, eos_token_id=document, pad_token_id=mixtral.config.pad_token_id
    )
    mixtral.save_pretrained(out, max_shard_size="15MB")
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--checkpoint", type=Path, help="a training checkpoint; without it, untrained weights"
    )
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = Model(Shape())
    if arguments.checkpoint:
        model.load_state_dict(torch.load(arguments.checkpoint, map_location="cpu")["model"])
    export(model, arguments.tokenizer, arguments.out)


if __name__ == "__main__":
    main()
