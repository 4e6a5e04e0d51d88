# SPDX-License-Identifier: MIT
"""The demo, inside the guest: a noisy neighbour, decided, leased, judged, undone.

Prints a story a person can follow and writes .output/demo.json.  Exits with 1
when the stances do not follow the sentence or a knob is not given back.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vagus.flow import Outcome
from vagus.record.read import Reader

sys.path.insert(0, str(Path(__file__).parent))
import guest

UNITS = ("shop", "backup", "build")
POLICY = guest.WORK / "policy.yaml"
RECORD = guest.WORK / "record.db"
DEMO = (Path(__file__).parent / "demo.yaml").read_text()
if len(sys.argv) > 1:  # the other handle on the CPU: off or auto
    DEMO = re.sub(r"scheduler: \w+", f"scheduler: {sys.argv[1]}", DEMO)
OBJECTIVE = re.findall(r'objective: "(.*)"', DEMO)[0]
REVERSED = "Finish the backup; the shop can wait."
OUT = Path("/vagus/.output/demo.json")
PHASE_S = 8.0
SHARE = 0.60  # of the CPU that the shop wants: alone it is fast, shared it is not


def say(text: str = "") -> None:
    """Print a line at once."""
    print(text, flush=True)


def now_s() -> float:
    """Return CLOCK_MONOTONIC in seconds."""
    return time.monotonic()


def wait(ready: Callable[[], bool], limit_s: float) -> float:
    """Wait until something holds, or the limit; return the seconds."""
    start = now_s()
    while not ready() and now_s() - start < limit_s:
        time.sleep(0.5)
    return now_s() - start


def measure(client: guest.Client, label: str) -> dict[str, float]:
    """Measure one phase of the shop's latency and the neighbours' work."""
    start = now_s()
    time.sleep(PHASE_S)
    return measured(client, label, start, now_s())


def measured(
    client: guest.Client, label: str, start: float, end: float
) -> dict[str, float]:
    """Print and return what the shop and the neighbours had in a span."""
    time.sleep(2.2)  # the last requests are answered or time out
    latencies = client.measured_ms(start, end)
    row = {
        "p50": round(guest.percentile(latencies, 0.50), 2),
        "p99": round(guest.percentile(latencies, 0.99), 2),
        "requests": len(latencies),
        "build_per_s": round(
            guest.done_between("build.log", start, end) / (end - start), 3
        ),
    }
    numbers = f"{row['p50']:>9.1f}{row['p99']:>10.1f}{row['build_per_s']:>12.2f}"
    say(f"  {label:<38}{numbers}")
    return row


def settled(client: guest.Client, alone: Mapping[str, float]) -> bool:
    """Tell whether the backlog is gone: two seconds at twice what it is alone."""
    now = now_s()
    recent = client.recent_ms(now - 3, now - 1)
    return bool(recent) and bool(guest.percentile(recent, 0.9) < 2 * alone["p99"])


def write_policy(objective: str, mode: str, exchange: bool = False) -> None:
    """Write the shipped demo policy: another sentence, mode, or names exchanged."""
    text = re.sub(r'objective: ".*"', f'objective: "{objective}"', DEMO)
    text = re.sub(r"mode: \w+", f"mode: {mode}", text)
    if exchange:
        text = text.replace('"shop.service"', '"?"')
        text = text.replace('"backup.service"', '"shop.service"')
        text = text.replace('"?"', '"backup.service"')
    POLICY.write_text(text)


def reload_policy(objective: str, exchange: bool = False) -> int:
    """Write the policy and tell the running agent; return the time, wall ns."""
    write_policy(objective, "enforce", exchange)
    os.kill(guest.main_pid("vagus"), signal.SIGHUP)
    return time.time_ns()


def decision(since_ns: int) -> Mapping[str, Any]:
    """Return the first decision since then that something was done upon."""
    rows = guest.vagus_json("decisions", "--record", str(RECORD), "-n", "50")
    for row in rows:
        if row["wall_ns"] >= since_ns and row["written"]:
            return row
    raise RuntimeError("no decision is on record that led to a lease")


def outcomes(since_ns: int) -> list[str]:
    """Return what the judge has found since then, in the order of its verdicts."""
    with Reader(RECORD) as reader:
        found = [
            row.effect.outcome for row in reader.effects() if row.wall_ns > since_ns
        ]
    return [str(outcome) for outcome in found if outcome is not Outcome.PENDING]


def rank(unit: str, classes: Mapping[int, tuple[int, int]]) -> tuple[float, str]:
    """Return a service's share as the kernel has it now, and how to say it."""
    folder = guest.group(unit)
    if told := classes.get(folder.stat().st_ino):
        return (0.0, 100.0, 1000.0)[told[0]], guest.class_text(*told)
    if (folder / "cpu.idle").read_text().strip() == "1":
        return 0.0, "cpu.idle"
    weight = float((folder / "cpu.weight").read_text())
    return weight, f"cpu.weight {weight:g}"


def favours(favoured: str, yielding: str, limit_s: float) -> tuple[float, str]:
    """Wait until the kernel favours one service; return (seconds, what it has).

    NaN where it does not within the limit.
    """
    start = now_s()
    while now_s() - start < limit_s:
        classes = guest.scheduler_classes()
        ranks = {unit: rank(unit, classes) for unit in UNITS}
        shown = ", ".join(f"{unit} {text}" for unit, (_, text) in ranks.items())
        if ranks[favoured][0] > 2 * ranks[yielding][0]:
            return now_s() - start, shown
        time.sleep(0.1)
    return math.nan, shown


def try_sentence(
    objective: str, favoured: str, yielding: str, exchange: bool = False
) -> bool:
    """Give the agent another sentence (or names); tell whether the knobs follow."""
    reload_policy(objective, exchange)
    took_s, shown = favours(favoured, yielding, 45)
    ok = not math.isnan(took_s)
    verdict = f"followed after {took_s:.1f} s" if ok else "NOT FOLLOWED within 45 s"
    say(f'    "{objective}"')
    say(f"    {verdict}: {shown}\n")
    return ok


def kill_agent(before: Mapping[str, str]) -> tuple[float, list[str]]:
    """SIGKILL the agent; return (ms until all is back, those knobs that are not)."""
    pid = guest.main_pid("vagus")
    held = changed(before)
    start = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    left = held
    while left and time.monotonic_ns() - start < 10 * 1_000_000_000:
        left = [path for path in changed(before) if path in held]
    took_ms = (time.monotonic_ns() - start) / 1e6
    what = f"{len([p for p in held if p != guest.SCHEDULER])} knobs were held"
    if guest.SCHEDULER in held:
        what += ", and our scheduler ran"
    say(f"    {what}; all back after {took_ms:.1f} ms")
    return took_ms, changed(before)


def changed(before: Mapping[str, str]) -> list[str]:
    """Return the knobs that are not as they were; the scheduler is one of them."""
    return [path for path, text in before.items() if Path(path).read_text() != text]


def start_agent() -> None:
    """Start the agent with the shipped model, and wait until it has seen a window."""
    argv = ["/opt/venv/bin/vagus", "run", "--policy", str(POLICY)]
    argv += ["--record", str(RECORD)]
    guest.start("vagus", "Vagus", argv, Delegate="yes")
    if wait(lambda: Path("/run/vagus/socket").exists(), 60) >= 60:
        raise RuntimeError(guest.run("journalctl", "--no-pager", "-u", "vagus"))
    time.sleep(4)  # the model is loaded, the first windows are seen


def own_cost(seconds: float, used_usec: int) -> dict[str, float]:
    """Return the agent's own share of the CPU and its memory, engine included."""
    memory = int((guest.group("vagus") / "memory.current").read_text())
    share = used_usec / 1e4 / seconds
    return {"cpu_pct": round(share, 1), "rss_mb": round(memory / 1e6, 1)}


def before_and_after() -> dict[str, Any]:
    """Measure the shop alone, with neighbours, and with Vagus."""
    guest.start_shop()
    rate, service_s = guest.calibrate(SHARE)
    say(f"  kernel {os.uname().release}, one virtual CPU, time counted in instructions")
    say(f"  shop: nginx, {rate:.0f} requests/s of {service_s * 1e3:.1f} ms CPU each")
    say("  neighbours: restic backup to a null_blk disk, gcc build with 4 jobs\n")
    say(f"  {'':<38}{'p50 ms':>9}{'p99 ms':>10}{'objects/s':>12}")
    client = guest.Client(rate, 3600)
    time.sleep(3)
    alone = measure(client, "shop alone")
    write_policy(OBJECTIVE, "observe")
    start_agent()
    guest.start_backup()
    guest.start_build()
    begun = now_s()
    wait(lambda: guest.done_between("build.log", begun, now_s()) > 0, 20)
    neighbours = measure(client, "with neighbours, Vagus only watching")
    before = guest.knobs(UNITS)
    asked_ns = reload_policy(OBJECTIVE)
    reaction_s, shown = favours("shop", "build", 60)
    if math.isnan(reaction_s):
        raise RuntimeError(f"nothing was leased within 60 s: {shown}")
    settle_s = wait(lambda: settled(client, alone), 20)
    asking = now_s()
    wait(lambda: bool(outcomes(asked_ns)), 60)
    wait(lambda: settled(client, alone), 20)
    trial = measured(client, "with Vagus, the judge asking", asking, now_s())
    start, used = now_s(), guest.cpu_usec(guest.group("vagus"))
    helped = measure(client, "with Vagus, after that")
    cost = own_cost(now_s() - start, guest.cpu_usec(guest.group("vagus")) - used)
    say(f"\n  {reaction_s:.1f} s from the order to act to the first lease, and")
    ruled = outcomes(asked_ns)
    verdict = ", ".join(dict.fromkeys(ruled)) or "no verdict within a minute"
    say(f"  {settle_s:.1f} s more until the backlog was gone.  Then the judge took the")
    say(
        f"  stances back for a moment, to see whether they were the cause: {verdict}.\n"
    )
    return {
        "shop_ms": {"alone": alone, "neighbours": neighbours, "vagus": helped},
        "neighbours_ops": {
            "neighbours": neighbours["build_per_s"],
            "vagus": helped["build_per_s"],
        },
        "trial": trial | {"outcomes": ruled},
        "reaction_s": round(reaction_s, 1),
        "agent": cost,
        "asked_ns": asked_ns,
        "knobs": before,
    }


def story() -> int:
    """Play the whole demo; return the exit status."""
    guest.WORK.mkdir(parents=True, exist_ok=True)
    result = before_and_after()
    before, row = result.pop("knobs"), decision(result.pop("asked_ns"))
    page = guest.vagus("explain", str(row["id"]), "--record", str(RECORD))
    for line in page.splitlines():
        say(f"    {line}")
    say("\n  The sentence reversed:")
    reversed_ok = try_sentence(REVERSED, "backup", "shop")
    # In between, so that what was true before cannot pass for an answer.
    say("  The first sentence again:")
    again_ok = try_sentence(OBJECTIVE, "shop", "backup")
    say("  The first sentence, but the two programs' names exchanged:")
    exchanged_ok = try_sentence(OBJECTIVE, "backup", "shop", exchange=True)
    leases, decisions = counters()
    say("  kill -9 of the agent:")
    restore_ms, changed = kill_agent(before)
    cost = result["agent"]
    say(f"\n  the agent: {cost['cpu_pct']} % of this slow CPU, {cost['rss_mb']} MB")
    result |= {
        "decider": row["decider"],
        "decisions": decisions,
        "reversed_ok": reversed_ok,
        "exchanged_ok": exchanged_ok,
        "leases": leases,
        "restore_ms": round(restore_ms, 1),
        "knobs_left_changed": len(changed),
        "kernel": os.uname().release,
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    followed = reversed_ok and exchanged_ok and again_ok
    return int(not followed or bool(changed) or row["decider"] != "llm")


def counters() -> tuple[dict[str, int], int]:
    """Return the lease counters and the number of model calls, as doctor has them."""
    report = guest.vagus_json("doctor", "--record", str(RECORD))
    found: dict[str, int] = report["counters"]
    names = ("granted", "renewed", "restored")
    leases = {name: found[f"leases.{name}"] for name in names}
    return leases, found.get("model.calls", 0)


if __name__ == "__main__":
    try:
        status = story()
    finally:
        guest.stop("vagus", "client", *UNITS)
    sys.exit(status)
