# SPDX-License-Identifier: MIT
"""A model of another house: random weights, another architecture, a chat template."""

from pathlib import Path

import gguf
import numpy as np

WIDTH, HEADS, KEYS, HIDDEN, CONTEXT = 32, 4, 2, 64, 4096
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_stranger(path: Path) -> Path:
    """Write a Qwen2 model whose tokens are bytes; its answers are noise."""
    tokens = [*_bytes(), "<|im_start|>", "<|im_end|>"]
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL] * 2
    writer.add_token_types(kinds)
    writer.add_token_merges(["Ġ t"])
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, shape in _shapes(len(tokens)).items():
        rng = np.random.default_rng(len(name))
        scale = 1.0 if "norm" in name else 0.1
        values = rng.normal(size=shape).astype(np.float32) * scale
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _bytes() -> list[str]:
    """Return GPT-2's letters for the 256 bytes, and one merged pair."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in seen]
    letters = {byte: chr(byte) for byte in seen}
    letters |= {byte: chr(256 + i) for i, byte in enumerate(rest)}
    return [*(letters[byte] for byte in range(256)), "Ġt"]


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    narrow = WIDTH * KEYS // HEADS
    return {
        "token_embd.weight": (vocabulary, WIDTH),
        "output_norm.weight": (WIDTH,),
        "output.weight": (vocabulary, WIDTH),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.attn_q.weight": (WIDTH, WIDTH),
        "blk.0.attn_q.bias": (WIDTH,),
        "blk.0.attn_k.weight": (narrow, WIDTH),
        "blk.0.attn_k.bias": (narrow,),
        "blk.0.attn_v.weight": (narrow, WIDTH),
        "blk.0.attn_v.bias": (narrow,),
        "blk.0.attn_output.weight": (WIDTH, WIDTH),
        "blk.0.ffn_norm.weight": (WIDTH,),
        "blk.0.ffn_gate.weight": (HIDDEN, WIDTH),
        "blk.0.ffn_up.weight": (HIDDEN, WIDTH),
        "blk.0.ffn_down.weight": (WIDTH, HIDDEN),
    }
