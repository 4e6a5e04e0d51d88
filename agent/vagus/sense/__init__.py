# SPDX-License-Identifier: MIT
"""Sense: kernel and files -> samples."""
