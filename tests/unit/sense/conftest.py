# SPDX-License-Identifier: MIT
"""The fake tree, and a policy of any shape."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from vagus.policy.model import Policy


def _tree_class() -> Any:
    # importmode=importlib: a test folder is no package, so load it by its path.
    spec = importlib.util.spec_from_file_location(
        "fake_tree", Path(__file__).with_name("tree.py")
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Tree


@pytest.fixture
def tree(tmp_path: Path) -> Any:
    """Return a fake tree without any workload."""
    return _tree_class()(tmp_path)


@pytest.fixture
def policy() -> Any:
    """Return a maker of policies: policy(shop={"unit": "shop.service"})."""

    def make(**workloads: dict[str, Any]) -> Policy:
        entries = {name: {"match": match} for name, match in workloads.items()}
        return Policy.model_validate({"version": 1, "workloads": entries})

    return make
