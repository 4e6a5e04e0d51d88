# SPDX-License-Identifier: MIT
"""Filling a form through any OpenAI-compatible server; runs in the engine's process.

The whole form is one question, the answer one JSON object with a listed answer for
every blank.  Servers differ in how they are told so: the ways are tried in order, and
the first that the server takes is kept.  What comes back is checked, never trusted.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from vagus.decide.grammar import Blank, Form, Text, valid

KEY = "VAGUS_API_KEY"  # environment: what the server wants as a bearer token
TIMEOUT_S = 600  # the engine's deadline comes first
LIMIT = 1 << 20  # bytes of an answer
WAYS = ("json_schema", "json_object", "")  # how a server is told about the form


class Remote:
    """One model of one server."""

    native = False

    def __init__(self, url: str, name: str) -> None:
        """Ask nothing yet: a server that is down now may be up at the next question."""
        self._base = f"{url.rstrip('/').removesuffix('/v1')}/v1"
        self._name = name
        self._ways = list(WAYS)

    def _model(self) -> str:
        """Return the model to ask: the policy's, or the first that the server has."""
        if not self._name:
            found = self._call("models", None).get("data") or [{}]
            self._name = str(found[0].get("id", ""))
        if not self._name:
            raise ValueError(f"{self._base} lists no model: give model.name")
        return self._name

    def fill(self, form: Form) -> tuple[dict[str, str], int]:
        """Return the answers and how many tokens the server counted."""
        blanks = {part.name: part.options for part in form if isinstance(part, Blank)}
        reply = self._asked(question(form, blanks), blanks)
        text = str(reply["choices"][0]["message"]["content"])
        answers = read(text, blanks)
        if not valid(form, answers):
            raise ValueError(f"the server's answer does not fill the form: {text[:80]}")
        return answers, int(reply.get("usage", {}).get("total_tokens", 0))

    def _asked(
        self, text: str, blanks: Mapping[str, tuple[str, ...]]
    ) -> Mapping[str, Any]:
        body: dict[str, object] = {
            "model": self._model(),
            "messages": [{"role": "user", "content": text}],
            "temperature": 0,
            "max_tokens": 16 * len(blanks) + 64,
        }
        while True:
            form = format_of(self._ways[0], blanks)
            try:
                reply = self._call("chat/completions", body | form)
                if not reply.get("choices"):
                    raise ValueError("the server's answer has no choices")
                return reply
            except Refused:
                if len(self._ways) == 1:
                    raise
                self._ways.pop(0)

    def _call(self, path: str, body: Mapping[str, object] | None) -> Mapping[str, Any]:
        """Return the server's JSON; ValueError for anything else."""
        url = f"{self._base}/{path}"
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
                found = json.loads(reply.read(LIMIT))
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(200).decode(errors="replace")
            kind = Refused if error.code in (400, 404, 422, 500) else ValueError
            raise kind(f"{url} answers {error.code}: {said}") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"{url} cannot be asked: {error}") from None
        if not isinstance(found, dict):
            raise ValueError(f"{url} does not speak the OpenAI protocol")
        return found


class Refused(ValueError):
    """The server does not take a request of this shape."""


def question(form: Form, blanks: Mapping[str, tuple[str, ...]]) -> str:
    """Return the form as one question that says what to fill in."""
    asked = form[0].text if form and isinstance(form[0], Text) else ""
    rows = "\n".join(
        f'"{name}": one of {", ".join(said(option) for option in options)}'
        for name, options in blanks.items()
    )
    return (
        f"{asked}\n\nAnswer with one JSON object and nothing else. Its keys, a number"
        f" being that of the program, and their values:\n{rows}"
    )


def said(option: str) -> str:
    """Return an option as people write it, without what ends it."""
    return option.strip().rstrip(";")


def format_of(way: str, blanks: Mapping[str, tuple[str, ...]]) -> dict[str, object]:
    """Return the request's part that binds the answer to the form."""
    properties = {
        name: {"type": "string", "enum": [said(option) for option in options]}
        for name, options in blanks.items()
    }
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    if way == "json_schema":  # OpenAI's own
        named = {"name": "form", "strict": True, "schema": schema}
        return {"response_format": {"type": way, "json_schema": named}}
    if way == "json_object":  # llama.cpp's servers
        return {"response_format": {"type": way, "schema": schema}}
    return {}


def read(text: str, blanks: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the options that an answer names; what is no option is left out."""
    try:
        found = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except ValueError:
        return {}
    out = {}
    for name, options in blanks.items():
        meant = {said(option): option for option in options}
        if (value := str(found.get(name, ""))) in meant:
            out[name] = meant[value]
    return out
