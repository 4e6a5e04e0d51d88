# SPDX-License-Identifier: MIT
"""Decide: window and objective -> proposal."""
