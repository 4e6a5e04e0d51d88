# SPDX-License-Identifier: MIT
"""Text that a process chose itself, made safe to print, store and quote."""

from __future__ import annotations

CUT = "…"


def escape(raw: bytes | str, limit: int = 64) -> str:
    r"""Return text without anything a terminal or a parser would interpret.

    Control characters, terminal escapes, text direction marks, lone surrogates
    and bytes that are not UTF-8 become \xNN, \uNNNN or \UNNNNNNNN; the result
    has at most `limit` characters, and ends with an ellipsis where it was cut.
    Escaping twice changes nothing, except for where it is cut.
    """
    # No code point takes more than four bytes: a huge argv is not decoded whole.
    head = raw[: 4 * limit + 4]
    if isinstance(head, bytes):
        head = head.decode("utf-8", "surrogateescape")
    text = head if head.isprintable() else "".join(map(_printable, head))
    return text if len(text) <= limit else text[: max(0, limit - 1)] + CUT


def _printable(char: str) -> str:
    """Return a character, or its escape where it is not printable."""
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def comm(raw: bytes, limit: int = 16) -> str:
    """Return a command name up to its NUL, escaped; TASK_COMM_LEN is 16."""
    return escape(raw.split(b"\0", 1)[0], limit)


def args(raw: bytes, limit: int = 96) -> str:
    """Return a NUL-separated argument list as one escaped line, not redacted."""
    return escape(raw[: 4 * limit + 4].rstrip(b"\0").replace(b"\0", b" "), limit)
