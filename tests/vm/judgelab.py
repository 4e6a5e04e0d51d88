# SPDX-License-Identifier: MIT
"""A scene for the judge: a shop, a build and a mail server on one CPU."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.vm.agentlab import Agent

from vagus.flow import Outcome, Stance

# Wants 70 % of one CPU in turns of 10 ms, so that it waits when it has to share.
SHOP = """
import time
def spin(n):
    while n: n -= 1
start = time.process_time(); spin(200000); cost = (time.process_time() - start) / 200000
due = time.monotonic()
while True:
    spin(int(0.007 / cost)); due += 0.010
    time.sleep(max(0, due - time.monotonic()))
    due = max(due, time.monotonic() - 0.1)
"""
HOG = "while True: pass"
POLICY = """\
version: 1
mode: enforce
decider: {decider}
workloads:
  shop:
    match: {{cgroup: "{base}/shop"}}
    role: web
    slo: {{psi_cpu: 30%, psi_io: 20%, psi_memory: 10%}}
  build: {{match: {{cgroup: "{base}/build"}}, role: build}}
  backup: {{match: {{cgroup: "{base}/backup"}}, role: backup}}
  mail: {{match: {{cgroup: "{base}/mail"}}, role: mail}}
static: {{{static}}}
budget: {{lease: 3s, cooldown: 0s, actions_per_minute: 100}}
decide: {{min_interval: 1s}}
"""


class Scene(Agent):
    """A shop, a build and a mail server that does nothing, on one CPU."""

    def __init__(self, base: Path, work: Path) -> None:
        super().__init__(base, work)
        for name in ("shop", "build", "backup", "mail"):
            (base / name).mkdir()
            # One CPU for all three, however many the guest has.
            (base / name / "cpuset.cpus").write_text("0")

    def begin(self, decider: str, static: str = "", shop: tuple[str, ...] = ()) -> None:
        """Start shop and agent; `shop`: another program, and its arguments."""
        self.rule(decider, static)
        self.run_in("shop", sys.executable, "-c", *(shop or (SHOP,)))
        self.start()

    def rule(self, decider: str, static: str = "") -> None:
        """Write the policy; an agent that runs reads it again."""
        text = POLICY.format(base=self.cgroup, decider=decider, static=static)
        self.policy.write_text(text)
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)

    def hogs(self, count: int = 2) -> None:
        """Start what the shop suffers from."""
        for _ in range(count):
            self.run_in("build", sys.executable, "-c", HOG)

    def outcome(self, *wanted: Outcome) -> Stance:
        """Wait for one of these verdicts; return what it is about."""
        self.wait(lambda: any(e.outcome in wanted for e in self.effects()), 240)
        return next(e.stance for e in self.effects() if e.outcome in wanted)


# Direct requests to a device: "paced" small reads, or writes as fast as they go.
DISK = """
import mmap, os, sys, time
device, what = sys.argv[1:]
paced = what == "paced"
buffer = mmap.mmap(-1, 4096 if paced else 1 << 20)
fd = os.open(device, os.O_RDWR | os.O_DIRECT)
offset, due = 0, time.monotonic()
while True:
    if paced:
        os.preadv(fd, [buffer], offset)
        due = max(due + 0.005, time.monotonic() - 0.1)
        time.sleep(max(0, due - time.monotonic()))
    else:
        os.pwritev(fd, [buffer], offset)
    offset = (offset + len(buffer)) % (256 << 20)
"""

# Touch anonymous memory: so many MiB, in order or here and there, so many pages
# every 20 ms.
MEMORY = """
import mmap, random, sys, time
size, pages, order = int(sys.argv[1]) << 20, int(sys.argv[2]), sys.argv[3]
area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for offset in range(0, size, 4096):
    area[offset] = 1
offset = 0
while True:
    for _ in range(pages):
        offset = random.randrange(size) if order == "random" else offset + 4096
        area[offset % size] = 1
    time.sleep(0.02)
"""


def null_disk(options: str) -> Path:
    """Make a disk whose only clock is the guest's; return its device node."""
    subprocess.run(["modprobe", "-r", "null_blk"], capture_output=True)
    options = f"nr_devices=1 gb=1 {options}"
    subprocess.run(["modprobe", "null_blk", *options.split()], check=True)
    return Path("/dev/nullb0")
