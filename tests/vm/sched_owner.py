# SPDX-License-Identifier: MIT
"""Hold stances through sched_ext until a signal comes, as the agent would.

usage: python tests/vm/sched_owner.py TTL_MS CGROUP=ACT/STRENGTH ...
Prints "ready" once the scheduler is attached, or why it is not.  Like the agent it
comes first itself: a normal task beside strong protection has two hundredths of a CPU,
and would renew too late.
"""

import os
import sys
import time
from pathlib import Path

from vagus.apply.sched import SchedExt
from vagus.flow import Act, Stance

OBJECT = Path(__file__).parent.parent.parent / ".output/ebpf/sched.bpf.o"


def main(arguments: list[str]) -> None:
    """Hold and renew."""
    ttl_ms = int(arguments[0])
    stances, ids = [], {}
    own = {os.getpid(): Stance("", Act.PROTECT, strength=3)}
    for argument in arguments[1:]:
        path, word = argument.split("=")
        act, strength = word.split("/")
        stances.append(Stance(path, Act(act), strength=int(strength)))
        ids[path] = Path(path).stat().st_ino
    with SchedExt(OBJECT) as sched:
        while True:
            held = sched.hold(stances, ids, ttl_ms, own)
            print("ready" if held else sched.state().reason, flush=True)
            time.sleep(ttl_ms / 3000)


if __name__ == "__main__":
    main(sys.argv[1:])
