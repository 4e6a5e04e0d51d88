# SPDX-License-Identifier: MIT
"""What the teacher knows of every token of the vocabulary, in few directions."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from train.teacher import Teacher
from train.tokens import Tokens

STATIC = 0.5  # weight of a word's own embedding beside its meaning in a text
GLOSS = {  # signs that name a kind, in words
    "desktop": "desktop window manager",
    "browser": "web browser",
    "editor": "text editor, office document",
    "terminal": "terminal, command shell",
    "game": "video game",
    "media": "music and video player, calls",
    "web": "web server, website",
    "database": "database",
    "queue": "cache, message broker",
    "proxy": "proxy, load balancer",
    "mail": "mail server",
    "files": "file server, storage",
    "network": "network service, vpn, dns",
    "control": "home automation, factory controller",
    "monitor": "monitoring, metrics",
    "vision": "camera, object detection",
    "container": "container, virtual machine",
    "system": "system service, login",
    "build": "build, compiler",
    "compute": "simulation, calculation",
    "learn": "machine learning, training",
    "transcode": "video encoding, transcoding",
    "backup": "backup",
    "sync": "synchronization, download, mirror",
    "update": "system update, upgrade",
    "index": "search index, log analysis",
    "scan": "virus scan",
    "interactive": "interactive foreground program on screen",
    "service": "service, server process",
    "throughput": "heavy batch computation",
    "deferrable": "background maintenance chore",
}


def meanings(tokens: Tokens, teacher: Teacher, size: int) -> torch.Tensor:
    """Return a row (size) for every token: words and kinds; zeros for all others."""
    words = {
        i: text.strip() for i, text in enumerate(tokens.texts()) if text[:1] == " "
    }
    words = {i: word for i, word in words.items() if word.isascii() and word.isalpha()}
    words |= {tokens.sign_ids[f"<{sign}>"]: text for sign, text in GLOSS.items()}
    texts = list(words.values())
    known = torch.cat((teacher.vectors(texts), STATIC * teacher.static(texts)), 1)
    known = known - known.mean(0)
    _, _, axes = torch.linalg.svd(known, full_matrices=False)  # rows: directions
    table = torch.zeros(tokens.size, size)
    table[list(words)] = F.normalize(known @ axes[:size].T, dim=-1)
    return table
