# SPDX-License-Identifier: MIT
"""Let `pip install` compile vagus._native and carry it in the wheel."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeHook(BuildHookInterface[Any]):
    """Run bindings/build.py before the wheel or the editable install is made."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling that the wheel is for this platform."""
        root = Path(self.root)
        path = root / "bindings/build.py"
        spec = importlib.util.spec_from_file_location("vagus_build", path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        extension = module.build(root)
        build_data["infer_tag"] = True
        build_data["pure_python"] = False
        build_data["artifacts"].append(str(extension.relative_to(root)))
        # The eBPF objects, where `make ebpf` made them; an editable install
        # finds them in the checkout.
        if version == "standard":
            for item in sorted((root / ".output/ebpf").glob("*.bpf.o")):
                build_data["force_include"][str(item)] = f"vagus/ebpf/{item.name}"
