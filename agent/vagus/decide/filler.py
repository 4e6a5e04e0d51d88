# SPDX-License-Identifier: MIT
"""Filling a form with a model: greedy, only through options, prefix kept.

Runs in the engine's process.  Text and options are made into tokens apart from
each other, so text can never become a sign.
"""

from __future__ import annotations

import ctypes
import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import llama_cpp.llama_cpp as llama
import numpy as np
import numpy.typing as npt

from vagus.decide.grammar import Blank, Echo, Form, Text, texts

SIGN = re.compile(r"(<[^<>]*>)")
CONTEXT = 2048  # tokens
BATCH = 512  # tokens a call, and of a question at most
KNOWN_MAX = 256  # texts whose answers are kept


class Native:
    """A GGUF model in llama.cpp: tokens in, logits out."""

    def __init__(self, path: Path, threads: int) -> None:
        """Load the file; ValueError says why it cannot be."""
        self._quiet = llama.llama_log_callback(_nothing)  # kept: C calls it
        llama.llama_log_set(self._quiet, ctypes.c_void_p(0))
        llama.llama_backend_init()
        model_params = llama.llama_model_default_params()
        model_params.n_gpu_layers = 0
        model_params.use_mmap = True
        self.model = llama.llama_model_load_from_file(str(path).encode(), model_params)
        if not self.model:
            raise ValueError(
                f"llama.cpp cannot load {path}: it is no GGUF that it knows"
            )
        params = llama.llama_context_default_params()
        params.n_ctx = CONTEXT
        params.n_batch = params.n_ubatch = BATCH
        params.n_threads = params.n_threads_batch = threads
        self.context = llama.llama_init_from_model(self.model, params)
        if not self.context:
            raise ValueError(f"llama.cpp cannot make a context for {path}")
        self.vocab = llama.llama_model_get_vocab(self.model)
        self.size = int(llama.llama_vocab_n_tokens(self.vocab))
        self.memory = llama.llama_get_memory(self.context)

    def metadata(self, key: str) -> str:
        """Return a value of the file's metadata; '' where there is none."""
        buffer = ctypes.create_string_buffer(64)
        found = llama.llama_model_meta_val_str(self.model, key.encode(), buffer, 64)
        return buffer.value.decode(errors="replace") if found >= 0 else ""

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token stands for."""
        buffer = ctypes.create_string_buffer(256)
        count = llama.llama_token_to_piece(self.vocab, token, buffer, 256, 0, True)
        return buffer.raw[:count] if count > 0 else b""

    def tokenize(self, text: str, special: bool = False) -> list[int]:
        """Return the tokens of a text."""
        raw = text.encode()
        room = len(raw) + 8
        buffer = (llama.llama_token * room)()
        count = llama.llama_tokenize(
            self.vocab, raw, len(raw), buffer, room, False, special
        )
        if count < 0:
            raise ValueError("llama.cpp cannot tokenize this text")
        return list(buffer[:count])

    def turn(self, question: str) -> str:
        """Return a user's turn and the begin of the answer, by the chat template."""
        template = llama.llama_model_chat_template(self.model, None)
        if not template:
            return question + "\n\n"
        message = llama.llama_chat_message(b"user", question.encode())
        messages = (llama.llama_chat_message * 1)(message)
        room = 2 * len(question.encode()) + 1024
        buffer = ctypes.create_string_buffer(room)
        count = llama.llama_chat_apply_template(
            template, messages, 1, True, buffer, room
        )
        if not 0 <= count <= room:
            return question + "\n\n"
        return buffer.raw[:count].decode(errors="replace")

    def forget(self, keep: int) -> None:
        """Drop everything after the first `keep` tokens."""
        llama.llama_memory_seq_rm(self.memory, 0, keep, -1)

    def ask(self, tokens: Sequence[int]) -> None:
        """Append a question, whose tokens all see each other; at most BATCH."""
        if len(tokens) > BATCH:
            raise ValueError(f"{len(tokens)} tokens do not fit into {BATCH}")
        llama.llama_set_causal_attn(self.context, False)
        try:
            self.evaluate(tokens)
        finally:
            llama.llama_set_causal_attn(self.context, True)

    def evaluate(self, tokens: Sequence[int]) -> None:
        """Append tokens; RuntimeError when llama.cpp fails."""
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            buffer = (llama.llama_token * len(part))(*part)
            batch = llama.llama_batch_get_one(buffer, len(part))
            if status := llama.llama_decode(self.context, batch):
                raise RuntimeError(f"llama_decode returned {status}")

    def logits(self) -> npt.NDArray[np.float32]:
        """Return the logits after the last token; valid until the next call."""
        values = llama.llama_get_logits_ith(self.context, -1)
        return np.ctypeslib.as_array(values, shape=(self.size,))


class Filler:
    """Fills forms with one model, one after the other."""

    def __init__(self, model: Native) -> None:
        """Read the model's signs, if it has them."""
        self.model = model
        self.native = model.metadata("vagus.signs") == "1"
        self.whole = model.metadata("vagus.whole") == "1"  # questions at once
        self.pieces: list[bytes] = []
        self.signs: dict[str, int] = {}
        if self.native:  # the signs are its last tokens
            for token in reversed(range(model.size)):
                text = model.piece(token).decode(errors="replace")
                if not SIGN.fullmatch(text):
                    break
                self.signs[text] = token
        # What it chose for whole texts: who is who is asked of the same sentence again.
        self.known: OrderedDict[_Asked, tuple[str, ...]] = OrderedDict()
        self.past: list[int] = []  # tokens in the model's memory
        self.asked = 0  # of them the question, which cannot be kept in part

    def fill(self, form: Form) -> tuple[dict[str, str], int]:
        """Return the answers and how many tokens were evaluated."""
        answers: dict[str, str] = {}
        evaluated = 0
        for text in texts(form):
            names = [part.name for part in text if isinstance(part, Blank)]
            asked = _asked_in(text)
            if (known := self.known.get(asked)) is None:
                evaluated += self._fill(text, answers)
                known = tuple(answers[name] for name in names)
            answers |= zip(names, known, strict=True)
            if asked:
                self.known[asked] = known
                self.known.move_to_end(asked)
            if len(self.known) > KNOWN_MAX:
                self.known.popitem(last=False)
        return answers, evaluated

    def _fill(self, form: Form, answers: dict[str, str]) -> int:
        """Add one text's answers to those there are; return how many tokens it took."""
        done: list[int] = []  # the text's tokens up to here
        evaluated = 0
        if form and isinstance(form[0], Text):
            question = form[0].text
            done += self.tokens(question if self.native else self.model.turn(question))
            evaluated += self._asked(done) if self.whole else 0
            form = form[1:]
        for part in form:
            if isinstance(part, Text):
                done += self.tokens(part.text)
            elif isinstance(part, Echo):
                done += self.tokens(answers[part.name])
            elif isinstance(part, Blank):
                evaluated += self._catch_up(done)
                answers[part.name], chosen, more = self._choose(part, done)
                done += chosen
                evaluated += more
        return evaluated

    def _asked(self, question: list[int]) -> int:
        """Put a question before a model that reads it whole, unless it is there."""
        if self.past[: self.asked] == question:
            return 0
        self.model.forget(0)
        self.past, self.asked = [], 0
        self.model.ask(question)
        self.past, self.asked = list(question), len(question)
        return len(question)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text with signs."""
        if not self.native:
            return self.model.tokenize(text, special=True)
        out: list[int] = []
        for piece in SIGN.split(text):
            if piece in self.signs:
                out.append(self.signs[piece])
            elif piece:
                out += self.model.tokenize(piece)
        return out

    def _catch_up(self, done: list[int]) -> int:
        """Bring the model's memory to `done`, keeping the common beginning."""
        if len(done) > CONTEXT:
            raise ValueError(f"{len(done)} tokens do not fit into {CONTEXT}")
        if done == self.past:  # its logits are the last ones
            return 0
        same = 0
        for old, new in zip(self.past, done, strict=False):
            if old != new:
                break
            same += 1
        same = min(same, len(done) - 1)  # the last one again: its logits are needed
        self.model.forget(same)
        self.past = done[:same]
        self.model.evaluate(done[same:])
        self.past = list(done)
        return len(done) - same

    def _choose(self, blank: Blank, done: list[int]) -> tuple[str, list[int], int]:
        """Return the likeliest option, its tokens, and how many were evaluated."""
        if all(option in self.signs for option in blank.options):
            ids = [self.signs[option] for option in blank.options]
            likely = self.model.logits()[ids]
            best = int(np.argmax(likely - blank.lead if blank.lead else likely))
            return blank.options[best], [ids[best]], 0
        return self._spell(blank, done)

    def _spell(self, blank: Blank, done: list[int]) -> tuple[str, list[int], int]:
        """Let the model write an option token by token; the arg-max is tried first."""
        if not self.pieces:
            self.pieces = [self.model.piece(i) for i in range(self.model.size)]
        written, chosen, evaluated = b"", list[int](), 0
        options = [option.encode() for option in blank.options]
        while written not in options:
            token = self._fitting(written, options)
            written += self.pieces[token]
            chosen.append(token)
            left = [option for option in options if option.startswith(written)]
            if len(left) == 1 and left[0] != written:  # no choice any more
                rest = left[0][len(written) :].decode(errors="ignore")
                chosen += self.model.tokenize(rest)
                written = left[0]
            elif written not in options:
                evaluated += self._catch_up(done + chosen)
        return written.decode(), chosen, evaluated

    def _fitting(self, written: bytes, options: Sequence[bytes]) -> int:
        """Return the likeliest token that continues towards an option."""
        logits = self.model.logits()
        for token in (int(np.argmax(logits)), *np.argsort(-logits)):
            piece = self.pieces[token]
            if piece and any(option.startswith(written + piece) for option in options):
                return int(token)
        raise ValueError("the model's tokens cannot write any option")


# A text as the model sees it: words, and options of blanks whatever their names.
_Asked = tuple[str | tuple[str, ...], ...]


def _asked_in(text: Form) -> _Asked:
    """Return what a text asks; () where that depends on answers to other texts."""
    if any(isinstance(part, Echo) for part in text):
        return ()
    return tuple(
        part.options if isinstance(part, Blank) else part.text
        for part in text
        if isinstance(part, Blank | Text)
    )


def _nothing(_level: int, _text: bytes, _data: object) -> None:
    """Drop llama.cpp's own messages."""
