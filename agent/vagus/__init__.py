# SPDX-License-Identifier: MIT
"""Vagus: a local language model runs a Linux machine's resources, safely."""

__version__ = "0.1.0"
