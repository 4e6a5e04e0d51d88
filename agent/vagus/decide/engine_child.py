# SPDX-License-Identifier: MIT
"""The engine's process: fills forms with a model; nothing else imports llama_cpp.

Started by engine.py with one end of a socketpair; reads one request at a time and
exits when the other end is closed.
"""

from __future__ import annotations

import hashlib
import socket
import sys
import time
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vagus.decide.remote import Remote
from vagus.decide.wire import Answer, Hello, Request, receive, send

if TYPE_CHECKING:
    from vagus.decide.filler import Filler


def main(arguments: list[str]) -> int:
    """Serve forms: FD, GGUF path or server's URL, number of threads, server's model."""
    fd, where, threads, name = int(arguments[0]), *arguments[1:4]
    with socket.socket(fileno=fd) as peer:
        try:
            start = time.perf_counter()
            filler, model = _opened(where, int(threads), name)
            took_ms = (time.perf_counter() - start) * 1e3
        except (OSError, ValueError, RuntimeError) as wrong:
            send(peer, msgspec.json.encode(Hello("", False, 0.0, 0, str(wrong))))
            return 1
        hello = Hello(model, filler.native, took_ms, _rss_bytes())
        send(peer, msgspec.json.encode(hello))
        while raw := receive(peer):
            request = msgspec.json.decode(raw, type=Request)
            send(peer, msgspec.json.encode(_answered(filler, request)))
    return 0


def _opened(where: str, threads: int, name: str) -> tuple[Filler | Remote, str]:
    """Return what fills forms, and which model it is, for the record."""
    if where.startswith(("http://", "https://")):
        return Remote(where, name), f"{where} {name or 'its first model'}"
    _without_extras("llama_cpp")
    from vagus.decide.filler import Filler, Native  # llama.cpp; a server needs none

    path = Path(where)
    filler = Filler(Native(path, threads))
    return filler, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def _without_extras(package: str) -> None:
    """Have only those parts of a package imported that are asked for by name.

    By itself llama_cpp imports chat formats, jinja2 and more, of which nothing is used
    here: a quarter of the time that it takes to load a model.
    """
    if package not in sys.modules and (spec := find_spec(package)):
        sys.modules[package] = module_from_spec(spec)


def _answered(filler: Filler | Remote, request: Request) -> Answer:
    start = time.perf_counter()
    try:
        answers, tokens = filler.fill(request.form)
    except (ValueError, RuntimeError) as wrong:
        return Answer(request.id, {}, 0.0, 0, str(wrong))
    took_ms = (time.perf_counter() - start) * 1e3
    return Answer(request.id, answers, took_ms, tokens)


def _rss_bytes() -> int:
    """Return the most memory this program has had resident.

    getrusage's maximum would be that of the process that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
