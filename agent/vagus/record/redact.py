# SPDX-License-Identifier: MIT
"""Take secrets out of texts before they are stored or shown to a model.

Command lines, event details, prompts and answers in; the same texts with every
secret replaced by a mark out.  A mark hides the secret and its length, and
redacting twice changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from vagus.flow import Event, Identity, Proposal, Record, Window

MARK = "[redacted]"
KNOWN, KNOWN_CHARS = 8_192, 256  # texts remembered, each at most so long

# What secrets are called, as a part of a name (DB_PASSWORD, api-key, mypassword);
# the short ones only where a word begins (not "compass", "author").
_NAMES = (
    r"(?:passw(?:or)?d|passphrase|secret|token|credential|bearer"
    r"|(?:api|access|private|session)[-_]?key(?:[-_]?id)?"
    r"|(?<![A-Za-z0-9])(?:pass|pwd|auth|authorization|cookie))s?"
)
# A part of every one of them.
_PARTS = (
    *("pass", "pwd", "secret", "token", "credential", "bearer", "key", "auth"),
    "cookie",
)
# Every repetition is bounded, so that no text, however hostile, takes long.
_KEY = rf"{_NAMES}(?![A-Za-z0-9])[\w.-]{{0,40}}"
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)"

# Each replaces its group "secret"; the order is that of the list.  Behind it stands
# what a text must have one of, in small letters, for the pattern to fit: most texts
# have none, and that is found out much faster than that the pattern does not fit.
BUILTIN: tuple[tuple[str, tuple[str, ...]], ...] = (
    # A private key in PEM form, even cut off.
    (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>.*?)(?:-----END|\Z)",
        ("-----begin",),
    ),
    # Authorization: Bearer abc, Proxy-Authorization: Basic abc, Cookie: a=b
    (
        r"(?:authorization|cookie)\s*:\s*(?P<secret>[^\"'\r\n]+)",
        ("authorization", "cookie"),
    ),
    (r"\b(?:bearer|basic)\s+(?P<secret>[A-Za-z0-9._~+/=-]{8,})", ("bearer", "basic")),
    # https://user:secret@host, and https://secret@host
    (r"\b[a-z][a-z0-9+.-]{0,15}://[^\s/:@]{0,99}:(?P<secret>[^\s/@]+)@", ("://",)),
    (r"\b[a-z][a-z0-9+.-]{0,15}://(?P<secret>[^\s/:@]{8,})@", ("://",)),
    # "password": "secret" in JSON, password=secret, --api-key secret, PGPASSWORD=x
    (rf"{_KEY}[\"']\s*:\s*(?P<secret>{_VALUE})", _PARTS),
    (rf"{_KEY}\s*(?:=|:)\s*(?P<secret>{_VALUE})", _PARTS),
    (rf"(?<!\S)--?[\w.-]{{0,40}}?{_KEY}\s+(?P<secret>(?!-){_VALUE})", _PARTS),
    # mysql -psecret, sshpass -p secret, curl -u user:secret
    (
        r"\b(?:mysql|mysqldump|mariadb|mysqladmin)\b[^|;]{0,200}?\s-p(?P<secret>[^\s]+)",
        ("mysql", "mariadb"),
    ),
    (r"\bsshpass\s+-p\s*(?P<secret>\S+)", ("sshpass",)),
    (r"\s(?:-u|--user)[\s=][^\s:]+:(?P<secret>\S+)", ("-u",)),
    # Keys with a shape of their own: AWS, GitHub, GitLab, Slack, Google, sk-, JWT
    (r"\b(?P<secret>(?:AKIA|ASIA)[A-Z0-9]{16})\b", ("akia", "asia")),
    (
        r"\b(?P<secret>gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,})",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"),
    ),
    (
        r"\b(?P<secret>xox[abposr]-[A-Za-z0-9-]{10,}|AIza[\w-]{30,}|sk-[\w-]{16,})",
        ("xox", "aiza", "sk-"),
    ),
    (r"\b(?P<secret>eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)", ("eyj",)),
)

# Long hexadecimal (32 digits: 128 bits) and long base64 that mixes digits with
# both cases: what looks random is taken for a key.  Paths are left alone by
# refusing '/' in the base64 form.
_HEX = re.compile(r"(?<![0-9A-Za-z])(?P<secret>[0-9a-fA-F]{32,})(?![0-9A-Za-z])")
_BASE64 = re.compile(
    # Whether it is long enough comes first, since mostly it is not.
    r"(?<![\w/+.-])(?P<secret>(?=[A-Za-z0-9+_-]{32})"
    r"(?=[^\s=]{0,99}\d)(?=[^\s=]{0,99}[a-z])(?=[^\s=]{0,99}[A-Z])"
    r"[A-Za-z0-9+_-]{32,}={0,2})(?![\w/+.-])"
)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Patterns whose group "secret" is taken out; none of them: keeps all."""

    # Each with what a text that it fits has one of; with nothing, any text may.
    patterns: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]
    # The same thousand command lines come back every second.
    _known: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def text(self, text: str) -> str:
        """Return the text with every secret replaced by MARK."""
        known = self._known.get(text)
        if known is not None:
            return known
        clean, small = text, text.lower()
        # Beyond ASCII other letters than these count as the same (K is the Kelvin).
        is_plain = text.isascii()
        for pattern, parts in self.patterns:
            if parts and is_plain and not any(map(small.__contains__, parts)):
                continue
            clean = pattern.sub(_hide, clean)
        if len(text) <= KNOWN_CHARS:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[text] = clean
        return clean


def redactor(extra: Iterable[str] = (), *, builtin: bool = True) -> Redactor:
    """Make a Redactor: the built-in patterns and more.

    An extra pattern without a group "secret" hides its whole match.
    re.error where a pattern is wrong.
    """
    flags = re.IGNORECASE | re.DOTALL
    patterns: list[tuple[re.Pattern[str], tuple[str, ...]]] = []
    if builtin:
        patterns += [(re.compile(text, flags), parts) for text, parts in BUILTIN]
        patterns += [(_HEX, ()), (_BASE64, ())]
    for text in extra:
        named = text if "(?P<secret>" in text else f"(?P<secret>{text})"
        patterns.append((re.compile(named), ()))
    return Redactor(tuple(patterns))


def _hide(match: re.Match[str]) -> str:
    """Replace the secret inside a match; a secret already hidden stays."""
    start, end = match.span("secret")
    if MARK in match["secret"]:
        return match[0]
    base = match.start()
    return match[0][: start - base] + MARK + match[0][end - base :]


def record(value: Record, redact: Redactor) -> Record:
    """Return a record without secrets in any text that a process or a unit chose."""
    if not redact.patterns:
        return value
    # A busy second repeats a few details hundreds of times.
    said = {text for event in value.events for text in (event.detail, event.comm)}
    clean = {text: redact.text(text) for text in said}
    return replace(
        value,
        window=_window(value.window, redact),
        proposal=_proposal(value.proposal, redact),
        events=[
            _event(event, clean[event.detail], clean[event.comm])
            for event in value.events
        ],
    )


def identity(value: Identity, redact: Redactor) -> Identity:
    """Return an identity without secrets in what the unit and the process chose.

    The unit's description is one of them: a transient unit's is its command line.
    """
    unit, comm, args = (
        redact.text(text) if text else ""
        for text in (value.unit_description, value.comm, value.args)
    )
    if (unit, comm, args) == (value.unit_description, value.comm, value.args):
        return value
    return replace(value, unit_description=unit, comm=comm, args=args)


def _window(window: Window, redact: Redactor) -> Window:
    changed = {}
    for name, load in window.workloads.items():
        clean = identity(load.identity, redact)
        programs = [redact.text(one) for one in load.programs]
        if clean is not load.identity or programs != load.programs:
            changed[name] = replace(load, identity=clean, programs=programs)
    if not changed:
        return window
    return replace(window, workloads={**window.workloads, **changed})


def _proposal(proposal: Proposal | None, redact: Redactor) -> Proposal | None:
    if proposal is None:
        return None
    said = (proposal.prompt, proposal.answer, proposal.objective)
    prompt, answer, objective = clean = tuple(map(redact.text, said))
    if clean == said:
        return proposal
    return replace(proposal, prompt=prompt, answer=answer, objective=objective)


def _event(event: Event, detail: str, comm: str) -> Event:
    if (detail, comm) == (event.detail, event.comm):
        return event
    return replace(event, detail=detail, comm=comm)
