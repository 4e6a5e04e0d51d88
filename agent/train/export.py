# SPDX-License-Identifier: MIT
"""Checkpoint -> GGUF as f16, tokenizer included."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import torch

from train.model import Model
from train.tokens import Tokens
from train.train import load

SIGNS_VERSION = 1  # of the sign language in prompt.py; the engine checks it
NAMES = {
    "attn_norm": "attn_norm",
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "ffn_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def export(
    run: Path,
    target: Path,
    half: bool = True,
    signs: int = SIGNS_VERSION,
    whole: bool = True,
    share: float = 1.0,
    onward: Path | None = None,
    onward_share: float = 1.0,
) -> None:
    """Write a run as one GGUF file with its tokens; blended() says what `share` is.

    With `onward`, the file that the run went on from, it lies `onward_share` of the
    way from there; words that were new to the run are as at its end.
    """
    model = load(run / "checkpoint.pt")
    tokens = Tokens(run / "tokens.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "llama")
    _describe(writer, model, half, signs)
    if whole:  # a question's tokens see each other
        writer.add_uint32("vagus.whole", signs)
    _tokenizer(writer, tokens, run / "tokens.json")
    kept = weights(model)
    if share < 1:
        kept = blended(weights(load(run / "middle.pt")), kept, share)
    if onward and onward_share < 1:
        kept = blended(_as_before(onward, tokens, kept), kept, onward_share)
    for name, values in kept.items():
        writer.add_tensor(file_name(name), _values(values, half))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(target)


def weights(model: Model) -> dict[str, torch.Tensor]:
    """Return the weights as they are shipped: the teacher's part put in."""
    kept = dict(model.state_dict())
    del kept["meaning"], kept["map.weight"]
    return kept | {"embed.weight": model.table().detach()}


def blended(
    before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Return weights on the line from one point of a run to a later one.

    `share`: of the way.  What lies between reads new wordings better than either end
    (stochastic weight averaging: Izmailov et al., 2018).
    """
    return {name: before[name].lerp(values, share) for name, values in after.items()}


def tensors(reader: gguf.GGUFReader) -> dict[str, torch.Tensor]:
    """Return every tensor of a file."""
    return {t.name: torch.from_numpy(np.array(t.data)).float() for t in reader.tensors}


def _as_before(
    path: Path, tokens: Tokens, kept: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return a file's weights in the shape of `kept`, tokens at their new places."""
    reader = gguf.GGUFReader(path)
    old = tensors(reader)
    words = reader.fields["tokenizer.ggml.tokens"].contents()
    now = tokens.bpe.get_vocab() | tokens.sign_ids
    table = kept["embed.weight"].clone()
    for word, values in zip(words, old["token_embd.weight"], strict=True):
        table[now[word]] = values
    others = {name: old[file_name(name)] for name in kept if name != "embed.weight"}
    return {"embed.weight": table, **others}


def _describe(writer: gguf.GGUFWriter, model: Model, half: bool, signs: int) -> None:
    s = model.shape
    writer.add_name("Vagus stance and role model")
    writer.add_license("MIT")
    writer.add_context_length(s.context)
    writer.add_embedding_length(s.width)
    writer.add_block_count(s.layers)
    writer.add_feed_forward_length(s.hidden)
    writer.add_head_count(s.heads)
    writer.add_head_count_kv(s.heads)
    writer.add_layer_norm_rms_eps(s.epsilon)
    writer.add_rope_freq_base(s.rope_base)
    writer.add_rope_dimension_count(s.width // s.heads)
    writer.add_vocab_size(s.vocabulary)
    kind = gguf.LlamaFileType.MOSTLY_F16 if half else gguf.LlamaFileType.ALL_F32
    writer.add_file_type(kind)
    writer.add_uint32("vagus.signs", signs)


def _tokenizer(writer: gguf.GGUFWriter, tokens: Tokens, path: Path) -> None:
    bpe = json.loads(path.read_text())["model"]
    words = sorted(bpe["vocab"], key=bpe["vocab"].__getitem__)
    kinds = [gguf.TokenType.NORMAL] * len(words)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("starcoder")
    writer.add_token_list([*words, *tokens.sign_ids])
    writer.add_token_types(
        [*kinds, *[gguf.TokenType.USER_DEFINED] * len(tokens.sign_ids)]
    )
    merges = [m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]]
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.sign_ids["<end>"])
    writer.add_bos_token_id(tokens.sign_ids["<end>"])
    writer.add_add_bos_token(False)


def file_name(name: str) -> str:
    """Return the GGUF name of a parameter."""
    if name.startswith("blocks."):
        _, number, part, _ = name.split(".")
        return f"blk.{number}.{NAMES[part]}.weight"
    return {"embed.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[
        name
    ]


def _values(values: torch.Tensor, half: bool) -> np.ndarray:
    """Return matrices as f16 and vectors as f32, as llama.cpp expects."""
    array = values.float().numpy()
    return array.astype(np.float16) if half and values.dim() == 2 else array
