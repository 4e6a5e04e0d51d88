# SPDX-License-Identifier: MIT
"""Messages between the agent and the engine's process: length, then JSON."""

from __future__ import annotations

import socket
import struct

import msgspec

from vagus.decide.grammar import Form

LENGTH = struct.Struct("<I")
LIMIT = 1 << 20  # bytes; a form is a few kB


class Hello(msgspec.Struct, frozen=True):
    """What the engine says once it is ready, or why it cannot be."""

    model: str  # "sha256:..." of the file
    native: bool  # speaks prompt.py's signs
    load_ms: float
    rss_bytes: int
    error: str = ""


class Request(msgspec.Struct, frozen=True):
    """A form to fill."""

    id: int
    form: Form


class Answer(msgspec.Struct, frozen=True):
    """The blanks as filled, or why they are not."""

    id: int
    answers: dict[str, str]
    took_ms: float
    tokens: int  # evaluated
    error: str = ""


def send(peer: socket.socket, payload: bytes) -> None:
    """Send one message; OSError when the peer is gone."""
    peer.sendall(LENGTH.pack(len(payload)) + payload)


def receive(peer: socket.socket) -> bytes:
    """Return one message, waiting for all of it; b'' when the peer is gone."""
    head = _exactly(peer, LENGTH.size)
    if not head:
        return b""
    (length,) = LENGTH.unpack(head)
    if length > LIMIT:
        raise ValueError(f"a message of {length} bytes is over the limit of {LIMIT}")
    return _exactly(peer, length)


def _exactly(peer: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        try:
            part = peer.recv(count - len(parts))
        except ConnectionError:
            return b""
        if not part:
            return b""
        parts += part
    return parts
