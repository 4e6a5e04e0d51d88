# SPDX-License-Identifier: MIT
"""The policy file: model, validation, matching."""
