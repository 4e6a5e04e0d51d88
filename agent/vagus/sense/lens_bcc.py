# SPDX-License-Identifier: MIT
"""One lens: a bcc program compiled now, run for a while, told as JSON lines.

Run by lens.py as `/usr/bin/python3 lens_bcc.py JSON`, a process of its own,
never imported by the agent: bcc costs 76 MB and a compiler.  It ends after its
time, when nobody reads its output, and when its parent dies.

Lines: {"ready": true} once attached; {"counts": [...], "sum": NS, "lost": N}
every interval, counts as in the contract's histograms; {"stacks": [...]} at the
end of offcpu; {"error": TEXT, "line": N, "source": TEXT} where it cannot work;
{"end": true} last.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import sys
import tempfile
import time
from typing import Any

PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
MAP_ENTRIES = 10240  # tasks or requests followed at once; the oldest give way
STACKS = 4096
STACKS_TOLD = 20
COMPILE_SECONDS = 180  # at most; 2 s natively, 15 s in an emulator

# No kernel headers: those of a new kernel often do not compile under bcc.  What is
# needed of the kernel comes from tracepoint formats and helpers.
COMMON = r"""
BPF_PERCPU_ARRAY(hist, u64, BUCKETS);
BPF_PERCPU_ARRAY(sums, u64, 2);

static __always_inline void count(u64 value)
{
    int slot = 0, zero = 0;
    u64 *entry;
    if (value >> (MIN_SHIFT + OCTAVES)) {
        slot = BUCKETS - 1;
    } else if (value >> MIN_SHIFT) {
        u32 shift = 0;
        #pragma unroll
        for (int step = 16; step; step >>= 1)
            if (value >> (shift + step))
                shift += step;
        slot = 1 + ((shift - MIN_SHIFT) << SUB_BITS) +
               ((value >> (shift - SUB_BITS)) & ((1 << SUB_BITS) - 1));
    }
    entry = hist.lookup(&slot);
    if (entry)
        *entry += 1;
    entry = sums.lookup(&zero);
    if (entry)
        *entry += value;
}

static __always_inline void lose(void)
{
    int one = 1;
    u64 *entry = sums.lookup(&one);
    if (entry)
        *entry += 1;
}

/* Is the running task in the workload? */
static __always_inline bool inside(void)
{
    return !CGROUP || bpf_get_current_ancestor_cgroup_id(LEVEL) == CGROUP;
}
"""

FUNC = r"""
BPF_TABLE("lru_hash", u32, u64, started, MAP_ENTRIES);

int enter(struct pt_regs *ctx)
{
    u32 tid = bpf_get_current_pid_tgid();
    u64 now = bpf_ktime_get_ns();
    if (inside())
        started.update(&tid, &now);
    return 0;
}

int leave(struct pt_regs *ctx)
{
    u32 tid = bpf_get_current_pid_tgid();
    u64 *start = started.lookup(&tid);
    if (!start) {
        if (inside())
            lose();
        return 0;
    }
    count(bpf_ktime_get_ns() - *start);
    started.delete(&tid);
    return 0;
}
"""

RUNQ = r"""
/* Threads of the workload: each is known from its first switch on. */
BPF_TABLE("lru_hash", u32, u8, ours, MAP_ENTRIES);
BPF_TABLE("lru_hash", u32, u64, queued, MAP_ENTRIES);

static __always_inline void queue(u32 tid)
{
    u64 now = bpf_ktime_get_ns();
    if (tid && ours.lookup(&tid))
        queued.update(&tid, &now);
}

TRACEPOINT_PROBE(sched, sched_wakeup)
{
    queue(args->pid);
    return 0;
}

TRACEPOINT_PROBE(sched, sched_wakeup_new)
{
    queue(args->pid);
    return 0;
}

TRACEPOINT_PROBE(sched, sched_switch)
{
    u32 prev = args->prev_pid, next = args->next_pid;
    u64 *start;
    u8 yes = 1;
    if (prev && inside()) {
        ours.update(&prev, &yes);
        /* 0: still wants to run; 0x100: was preempted (TASK_REPORT_MAX) */
        if (!args->prev_state || args->prev_state == 0x100)
            queue(prev);
    }
    start = queued.lookup(&next);
    if (!start)
        return 0;
    count(bpf_ktime_get_ns() - *start);
    queued.delete(&next);
    return 0;
}
"""

OFFCPU = r"""
struct place {
    u32 tgid;
    int kernel;
    int user;
    char comm[16];
};
struct since {
    u64 ns;
    struct place at;
};
BPF_TABLE("lru_hash", u32, struct since, off, MAP_ENTRIES);
BPF_HASH(places, struct place, u64, MAP_ENTRIES);
BPF_STACK_TRACE(stacks, STACKS);

TRACEPOINT_PROBE(sched, sched_switch)
{
    u32 prev = args->prev_pid, next = args->next_pid;
    struct since now = {}, *then;
    u64 took, *sum;
    if (prev && inside()) {
        now.ns = bpf_ktime_get_ns();
        now.at.tgid = bpf_get_current_pid_tgid() >> 32;
        now.at.kernel = stacks.get_stackid(args, 0);
        now.at.user = stacks.get_stackid(args, BPF_F_USER_STACK);
        bpf_get_current_comm(&now.at.comm, sizeof(now.at.comm));
        if (now.at.kernel < 0)
            lose();
        off.update(&prev, &now);
    }
    then = off.lookup(&next);
    if (!then)
        return 0;
    took = bpf_ktime_get_ns() - then->ns;
    count(took);
    now.at = then->at;
    sum = places.lookup(&now.at);
    if (sum)
        *sum += took;
    else if (places.insert(&now.at, &took))
        lose();
    off.delete(&next);
    return 0;
}
"""

BIOLAT = r"""
struct request_key {
    u64 dev;
    u64 sector;
};
BPF_TABLE("lru_hash", struct request_key, u64, issued, MAP_ENTRIES);

TRACEPOINT_PROBE(block, block_rq_issue)
{
    struct request_key key = { args->dev, args->sector };
    u64 now = bpf_ktime_get_ns();
    /* Known by who issues it: writeback, by kernel threads, is nobody's here. */
    if (inside())
        issued.update(&key, &now);
    return 0;
}

TRACEPOINT_PROBE(block, block_rq_complete)
{
    struct request_key key = { args->dev, args->sector };
    u64 *start = issued.lookup(&key);
    if (!start)
        return 0;
    count(bpf_ktime_get_ns() - *start);
    issued.delete(&key);
    return 0;
}
"""

SOURCES = {"func": FUNC, "runq": RUNQ, "offcpu": OFFCPU, "biolat": BIOLAT}


def say(**line: Any) -> None:
    """Write one line; a reader that is gone ends us by SIGPIPE."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def die_with_parent(parent: int) -> None:
    """End when the agent does; it may have ended before we asked."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def compiled(text: str, flags: list[str]) -> Any:
    """Compile and load; where that fails, tell the compiler's words and exit."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as words:
        os.dup2(words.fileno(), 2)
        try:
            from bcc import BPF

            return BPF(text=text, cflags=flags)
        except Exception as error:
            words.seek(0)
            said = words.read().decode(errors="replace")
            say(**complaint(text, said, str(error)))
            sys.exit(2)
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def complaint(text: str, said: str, error: str) -> dict[str, Any]:
    """Find the first error in the compiler's words, and the line it means."""
    found = re.search(r"^(\S+?):(\d+):\d+: (?:fatal )?error: ([^\n]*)", said, re.M)
    if not found:
        last = [line for line in said.splitlines() if line.strip()][-3:]
        return {"error": " ".join([error, *last])[:800], "line": 0, "source": ""}
    number = int(found[2])
    if not found[1].endswith("main.c"):  # a header that does not compile
        where = f"{found[1]}:{number}: {found[3]}"
        return {"error": where[:400], "line": 0, "source": ""}
    lines = text.splitlines()
    source = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    return {"error": found[3][:400], "line": number, "source": source[:200]}


def stacks(program: Any) -> list[dict[str, Any]]:
    """Return where the most time was waited, outermost frame last."""
    places = sorted(program["places"].items(), key=lambda kv: -kv[1].value)
    told = []
    for place, total in places[:STACKS_TOLD]:
        frames = []
        for stack, pid in ((place.kernel, -1), (place.user, place.tgid)):
            if stack >= 0:
                for address in program["stacks"].walk(stack):
                    name = program.sym(address, pid, show_module=False)
                    frames.append(name.decode(errors="replace")[:80])
        comm = place.comm.decode(errors="replace")
        told.append({"ns": total.value, "comm": comm, "frames": frames[:40]})
    return told


def totals(program: Any, buckets: int) -> dict[str, Any]:
    """Return the histogram so far, added up over CPUs."""
    counts = [0] * buckets
    for key, values in program["hist"].items():
        counts[key.value] = sum(values)
    sums = {key.value: sum(values) for key, values in program["sums"].items()}
    return {"counts": counts, "sum": sums.get(0, 0), "lost": sums.get(1, 0)}


def attach(program: Any, exe: str, symbol: str) -> None:
    """Measure a function, or from one USDT probe to another.

    The probes are nops at known places: a uprobe there needs no semaphore.
    """
    if not symbol.startswith("usdt:"):
        program.attach_uprobe(name=exe, sym=symbol, fn_name="enter")
        program.attach_uretprobe(name=exe, sym=symbol, fn_name="leave")
        return
    begin, _, end = symbol.removeprefix("usdt:").partition("..")
    for name, fn_name in ((begin, "enter"), (end, "leave")):
        for address in places(exe, name):
            program.attach_uprobe(name=exe, addr=address, fn_name=fn_name)


def places(exe: str, name: str) -> list[int]:
    """Return where a program has a USDT probe; ValueError with those that it has."""
    from bcc import USDT

    context = USDT(path=exe)
    probes = {probe.name.decode(): probe for probe in context.enumerate_probes()}
    if name not in probes:
        some = ", ".join(sorted(probes)[:8]) or "none at all"
        raise ValueError(f"no USDT probe '{name}'; there are {some}")
    probe = probes[name]
    return [probe.get_location(one).address for one in range(probe.num_locations)]


def main() -> None:
    """Compile, attach, tell until the time is up."""
    order = json.loads(sys.argv[1])
    die_with_parent(order["parent"])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Whatever the compiler or the kernel does: ended by then.
    signal.alarm(COMPILE_SECONDS + int(order["seconds"]) + 1)
    text = COMMON + order.get("text", SOURCES[order["kind"]])
    flags = [f"-D{name}={value}" for name, value in order["defines"].items()]
    flags += [f"-DMAP_ENTRIES={MAP_ENTRIES}", f"-DSTACKS={STACKS}", "-w"]
    program = compiled(text, flags)
    if order["kind"] == "func":
        try:
            attach(program, order["exe"], order["symbol"])
        except Exception as error:
            say(error=f"{order['symbol']} in {order['exe']}: {error}"[:400])
            sys.exit(2)
    say(ready=True)
    end = time.monotonic() + order["seconds"]
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(order["interval"], left))
        say(**totals(program, order["defines"]["BUCKETS"]))
    if order["kind"] == "offcpu":
        say(stacks=stacks(program))
    say(end=True)


if __name__ == "__main__":
    main()
