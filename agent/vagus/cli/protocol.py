# SPDX-License-Identifier: MIT
"""The words between the agent and its clients: one JSON object a line.

    -> {"v":1,"do":"board"}
    <- {"v":1,"ok":true,"result":{...}}
    <- {"v":1,"ok":false,"error":"only root may change the mode","code":4}

`board` returns the present, `watch` the present now and after every window,
`record` the newest record whole; every other word is an order, with its
arguments in `args`, and returns a sentence.  A reply to another version is an
error that names this one.
"""

from __future__ import annotations

import msgspec

VERSION = 1
LINE_BYTES = 16 * 1024  # the longest request


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client wants."""

    v: int
    do: str
    args: dict[str, str] = {}


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What it gets."""

    v: int
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    code: int = 0


def reply(result: object) -> bytes:
    """Return a line with a result."""
    raw = msgspec.Raw(msgspec.json.encode(result))
    return msgspec.json.encode(Reply(VERSION, True, raw)) + b"\n"


def failure(error: str, code: int) -> bytes:
    """Return a line with an error and the exit code that fits it."""
    return msgspec.json.encode(Reply(VERSION, False, error=error, code=code)) + b"\n"
