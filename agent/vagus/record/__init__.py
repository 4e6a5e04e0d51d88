# SPDX-License-Identifier: MIT
"""Record: everything about a tick, kept and found again."""
