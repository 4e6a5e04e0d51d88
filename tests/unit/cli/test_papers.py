# SPDX-License-Identifier: MIT
"""What is read outside of a terminal: policy texts, completion, the manual, reports.

To keep new outputs: VAGUS_GOLDEN=write pytest tests/unit/cli/test_papers.py
"""

import json
import re
import shutil
import tarfile

import pytest

from vagus.cli import bugreport
from vagus.policy import load

OTHER = """\
version: 1
objective: "Keep the shop fast. The backup can wait."
mode: advise
decider: rules
workloads:
  shop: {match: {cgroup: "shop.service"}, slo: {run_queue_p99: 2ms}}
never_touch: [postgresql.service]
budget: {lease: 30s}
"""
OUTPUTS = {
    "policy-explain.txt": ["policy", "explain"],
    "policy-explain-lease.txt": ["policy", "explain", "budget.lease"],
    "policy-explain-lease.json": ["policy", "explain", "budget.lease", "--json"],
    "policy-schema.json": ["policy", "schema"],
    "policy-default.txt": ["policy", "default"],
    "completion-bash.txt": ["completion", "bash"],
    "completion-zsh.txt": ["completion", "zsh"],
    "completion-fish.txt": ["completion", "fish"],
    "man.txt": ["man"],
    "help.txt": ["--help"],
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_text_is_as_it_was(vagus, golden, name):
    code, out, err = vagus(*OUTPUTS[name])
    assert (code, err) == (0, "")
    golden(name, out)


@pytest.fixture
def policies(tmp_path):
    """Two policy files, the default and another."""
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(load.default_text())
    new.write_text(OTHER)
    return old, new


def test_what_another_policy_changes(vagus, golden, policies):
    code, out, _ = vagus("policy", "diff", *map(str, policies))
    assert code == 0
    golden("policy-diff.txt", out)
    _, printed, _ = vagus("policy", "diff", *map(str, policies), "--json")
    assert json.loads(printed) == out.splitlines()
    _, same, _ = vagus("policy", "diff", str(policies[0]), str(policies[0]))
    assert same == "the same policy\n"


def test_what_a_check_says(vagus, golden, policies):
    policies[1].write_text(OTHER.replace("advise", "advice"))
    code, out, _ = vagus("policy", "check", *map(str, policies))
    assert code == 2
    golden("policy-check.txt", out)
    code, out, _ = vagus("policy", "check", *map(str, policies), "--json")
    assert code == 2
    golden("policy-check.json", out)


def sizes(text):
    """Leave out how large things are: that is SQLite's and zlib's affair."""
    return re.sub(r"[\d.]+ KiB|(?<=\": )\d+", "SIZE", text)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_vacuum_says_what_it_won(vagus, golden, story, tmp_path, flags):
    path = tmp_path / "copy.db"
    shutil.copy(story, path)
    code, out, err = vagus("record", "vacuum", "--record", str(path), *flags)
    assert (code, err) == (0, "")
    golden("record-vacuum.json" if flags else "record-vacuum.txt", sizes(out))


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_bug_report_says_where_it_is(vagus, golden, tmp_path, monkeypatch, flags):
    monkeypatch.setattr(bugreport, "_leases", list)  # no kernel here, or another
    path = tmp_path / "report.tar.gz"
    code, out, err = vagus("bugreport", "-o", str(path), *flags)
    assert (code, err) == (0, "")
    golden("bugreport.json" if flags else "bugreport.txt", sizes(out))
    with tarfile.open(path) as archive:
        golden("bugreport-parts.txt", "\n".join(archive.getnames()) + "\n")
        about = archive.extractfile("report/README.txt").read().decode()
    golden("bugreport-readme.txt", about)
