# SPDX-License-Identifier: MIT
"""Whose word a workload's identity is: the machine's, the operator's, its own.

A process chooses its command name, its arguments and which program it is, even an
installed one with code of its own in it (LD_PRELOAD); a user chooses what lies below
the user's own slice; a container what lies in its scope.  Such words may make a
workload yield.  Being protected, having an SLO or being exempt from yielding needs
somebody else's word: the policy's (by place, program or user), the objective's
about a name that the machine gave, or a system service's description.

Known limit: an entry that goes by `exe` alone trusts everybody who may run that
program; `user`, `unit` or `cgroup` beside it says who.  And a process in a user and
mount namespace of its own can show any path as its executable.  Sensors leave `exe`
empty for those they see.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePosixPath

from vagus.flow import Window, WorkloadWindow
from vagus.policy.knobs import Bound
from vagus.policy.match import given_names, placed, unit_placed
from vagus.policy.model import Policy
from vagus.policy.workload import Match, Workload

SYSTEM_FOLDERS = ("/usr/", "/bin/", "/sbin/", "/lib/", "/opt/", "/nix/store/")
# What these run is in their arguments, which are the process's own word.
INTERPRETERS = re.compile(
    r"(?:ba|da|z|k|c|tc|fi)?sh|busybox|env|python[\d.]*|perl[\d.]*|ruby[\d.]*"
    r"|node(?:js)?|deno|bun|php[\d.-]*|lua[\d.]*|java|mono|dotnet|tclsh[\d.]*|guile"
    r"|[gmn]?awk|sudo|su|setpriv|unshare|nsenter|bwrap|ld-linux.*|ld\.so.*|gdb|qemu-.*"
    r"|erl|beam\.smp|Rscript|R|julia|wine.*"
)


def entry_of(policy: Policy, workload: WorkloadWindow) -> Workload | None:
    """Return what the policy says of a workload, by its own word or another's."""
    key = workload.policy or workload.name
    return policy.workloads.get(key)


def vouched_entry(policy: Policy, workload: WorkloadWindow) -> Workload | None:
    """Return the policy's entry if more than the process's own word matched it."""
    entry = entry_of(policy, workload)
    if entry is not None and _vouched(entry.match, workload):
        return entry
    return None


def known(policy: Policy, workload: WorkloadWindow) -> str:
    """Return who vouches for a workload: a phrase, '' for nobody but itself."""
    if vouched_entry(policy, workload) is not None:
        return "the policy names it"
    if _is_service(workload.cgroup) and workload.identity.unit_description:
        return "a system unit describes it"
    if _is_given(workload.cgroup) and _mentions(policy.objective, workload.name):
        return "the objective names it"
    return ""


def own_bounds(policy: Policy, window: Window) -> dict[str, dict[str, Bound]]:
    """Return the bounds of workloads that have some of their own, by name.

    Who matched by a name that it chose does not get them.
    """
    if not any(entry.limits for entry in policy.workloads.values()):
        return {}
    entries = {
        name: vouched_entry(policy, workload)
        for name, workload in window.workloads.items()
    }
    return {
        name: policy.bounds(entry.limits)
        for name, entry in entries.items()
        if entry and entry.limits
    }


@lru_cache(maxsize=4096)  # asked of every workload in every window
def installed(exe: str) -> bool:
    """Tell whether a path is a program of the system, and says what runs.

    That is good for telling what something is, not for what it may claim.
    """
    path = PurePosixPath(exe)
    if not exe.startswith(SYSTEM_FOLDERS) or ".." in path.parts:
        return False
    return not exe.endswith(" (deleted)") and not INTERPRETERS.fullmatch(path.name)


def _vouched(match: Match, workload: WorkloadWindow) -> bool:
    """Check again what the sensor matched; command names do not count.

    Which user runs it is not in a window: there the sensor's word is taken.
    """
    checks = []
    if match.cgroup:
        checks.append(placed(match.cgroup, workload.cgroup))
    if match.unit:
        checks.append(unit_placed(match.unit, workload.cgroup))
    if match.exe:
        checks.append(fnmatchcase(workload.identity.exe, match.exe))
    if match.user:
        checks.append(bool(workload.policy))
    return bool(checks) and all(checks)


def _is_given(cgroup: str) -> bool:
    """Tell whether the machine, not the workload's owner, named the cgroup."""
    names = [name for name in cgroup.split("/") if name]
    return bool(names) and names == given_names(cgroup)


def _is_service(cgroup: str) -> bool:
    """Tell whether the system's own systemd runs a cgroup as a service.

    Such lie in slices only.  A scope holds what somebody else started: a session, a
    container; its description says of whom, not of what.
    """
    *above, name = [one for one in cgroup.split("/") if one] or [""]
    is_users = above[:1] == ["user.slice"]
    in_slices = all(one.endswith(".slice") for one in above)
    return name.endswith(".service") and in_slices and not is_users


def _mentions(sentence: str, name: str) -> bool:
    """Tell whether a sentence has a name in it as a word of its own."""
    found = rf"(?<![\w.@-]){re.escape(name)}(?![\w@-]|\.\w)"
    return bool(name) and re.search(found, sentence, re.IGNORECASE) is not None
