# SPDX-License-Identifier: MIT
"""Training of the shipped model: preprocess, train, export, evaluate."""
