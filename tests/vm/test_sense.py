# SPDX-License-Identifier: MIT
"""What the sensors say, against what the kernel says elsewhere."""

import itertools
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vagus.policy.model import Policy
from vagus.sense.block import BlockSensor
from vagus.sense.cgroup import CgroupSensor
from vagus.sense.discover import Discovery
from vagus.sense.probes import SharedProbes
from vagus.sense.process import ProcessSensor
from vagus.sense.psi import PsiSensor
from vagus.window import Windower

ROOT = Path("/sys/fs/cgroup")
READ = ("shop", "read_bytes")
HOG = "while True: pass"
# Moves itself into the cgroup first, then does what it is told.
ENTER = "import os,sys\nopen(sys.argv[1]+'/cgroup.procs','w').write('0')\n"


def start(cgroup: Path, code: str) -> subprocess.Popen[bytes]:
    """Run Python code inside a cgroup."""
    return subprocess.Popen([sys.executable, "-c", ENTER + code, str(cgroup)])


@pytest.fixture
def controllers():
    """Let test cgroups have cpu, io and memory files."""
    (ROOT / "cgroup.subtree_control").write_text("+cpu +io +memory")


@pytest.fixture
def hogs(cgroup, controllers):
    """Start hogs in the test's cgroup; they end with it."""
    running: list[subprocess.Popen[bytes]] = []

    def make(number: int, code: str = HOG) -> list[subprocess.Popen[bytes]]:
        running.extend(start(cgroup, code) for _ in range(number))
        procs = cgroup / "cgroup.procs"
        for _ in range(500):
            if len(procs.read_text().split()) >= number:
                break
            time.sleep(0.02)
        return running

    yield make
    for process in running:
        process.kill()
        process.wait()


def policy(cgroup: Path) -> Policy:
    match = {"cgroup": f"/{cgroup.relative_to(ROOT)}"}
    return Policy.model_validate({"workloads": {"shop": {"match": match}}})


def runtime_ns(process: subprocess.Popen[bytes]) -> int:
    """Return a process's CPU time by the scheduler's own account."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0])


def test_discovery_sees_comings_and_goings(cgroup, hogs):
    discovery = Discovery(policy(cgroup), own="")
    assert discovery.found["shop"].pids == ()
    child = cgroup / "inner"
    child.mkdir()
    child.rmdir()
    (process,) = hogs(1)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not discovery.found["shop"].pids:
        select.select([discovery.fileno()], [], [], 1.0)
        discovery.poll()
    found = discovery.found["shop"]
    assert found.pids == (process.pid,)
    assert found.cgroup_id == cgroup.stat().st_ino
    assert found.comms == ("python",) or found.comms[0].startswith("python")
    process.kill()
    process.wait()
    (cgroup / "cgroup.kill").write_text("1")
    cgroup.rmdir()
    assert discovery.poll()
    assert "shop" not in discovery.found
    discovery.close()


@pytest.mark.timed
def test_cpu_pct_is_the_schedulers_own_account(cgroup, hogs):
    (hog,) = hogs(1, "held = bytearray(8 << 20)\n" + HOG)
    wanted = policy(cgroup)
    discovery = Discovery(wanted, own="")
    sensor = CgroupSensor()
    sensor.follow(discovery.follow())
    windower = Windower(wanted)
    states = {"cgroup": sensor.state()}
    windower.build(1, sensor.read(), discovery.found, {}, states)
    before, start_ns = runtime_ns(hog), time.monotonic_ns()
    time.sleep(3)
    window = windower.build(2, sensor.read(), discovery.found, {}, states)
    after, end_ns = runtime_ns(hog), time.monotonic_ns()
    exact = 100 * (after - before) / (end_ns - start_ns)
    assert window.workloads["shop"].numbers["cpu_pct"] == pytest.approx(exact, rel=0.03)
    assert window.workloads["shop"].numbers["memory_bytes"] > 8e6
    assert 0 < window.machine["cpu_pct"] <= 100 * window.machine["cpus"] * 1.02
    sensor.close()
    discovery.close()


def test_a_cgroup_that_vanishes_mid_read_is_no_failure(cgroup, controllers):
    child = cgroup / "brief"
    sensor, psi = CgroupSensor(), PsiSensor(triggers=False)
    for _ in range(50):
        child.mkdir()
        place = {"brief": (f"/{child.relative_to(ROOT)}", child.stat().st_ino)}
        sensor.follow(place)
        psi.follow(place)
        assert any(sample.workload == "brief" for sample in sensor.read())
        child.rmdir()
        assert not any(sample.workload == "brief" for sample in sensor.read())
        assert not any(sample.workload == "brief" for sample in psi.read())
    sensor.close()
    psi.close()


def test_a_trigger_wakes_the_loop(hogs):
    sensor = PsiSensor()
    assert sensor.trigger_problem == ""
    poll = select.poll()
    poll.register(sensor.fileno(), select.POLLIN)
    while poll.poll(1500):  # until the machine is at rest
        sensor.events()
    started = time.monotonic()
    hogs(6)
    assert poll.poll(10_000)
    print(f"woken {time.monotonic() - started:.2f} s after the hogs were asked for")
    sensor.events()
    sensor.close()


def test_stall_totals_are_up_to_date_at_each_read(cgroup, hogs):
    """The averages are renewed every two seconds, the totals whenever read."""
    hogs(4)
    pressure, totals = cgroup / "cpu.pressure", []
    time.sleep(1)
    for _ in range(10):
        time.sleep(0.2)
        totals.append(int(pressure.read_text().split("total=")[1].split()[0]))
    grown = [after - before for before, after in itertools.pairwise(totals)]
    assert min(grown) > 0.5 * 200_000, grown


def test_psi_of_a_workload_grows_under_hogs(cgroup, hogs):
    hogs(4)
    wanted = policy(cgroup)
    discovery, psi = Discovery(wanted, own=""), PsiSensor(triggers=False)
    psi.follow(discovery.follow())
    windower = Windower(wanted)
    states = {"psi": psi.state()}
    windower.build(1, psi.read(), discovery.found, {}, states)
    time.sleep(0.5)
    shop = windower.build(2, psi.read(), discovery.found, {}, states).workloads["shop"]
    assert shop.numbers["psi_cpu_some_pct"] > 50
    assert shop.words["cpu"] in ("bad", "critical")
    psi.close()
    discovery.close()


@pytest.mark.needs("bpf")
def test_forks_are_counted_and_execs_are_told(cgroup, hogs, scaled):
    count = scaled(200)
    probes = SharedProbes()
    sensor = ProcessSensor(probes)
    assert sensor.state().missing == ""
    sensor.follow({"shop": (f"/{cgroup.name}", cgroup.stat().st_ino)})
    code = (
        f"[os.waitpid(os.fork() or os._exit(7), 0) for _ in range({count})];"
        "os.execv('/bin/echo', ['/bin/echo', 'a\\x1b[31mb', 'c'])"
    )
    start(cgroup, code).wait()
    counted = {s.signal: s.value for s in sensor.read() if s.workload == "shop"}
    assert counted["forks"] == count
    assert counted["execs"] == 1
    assert counted["exits"] == count + 1
    events = sensor.events()
    (exec_,) = [one for one in events if one.kind == "exec" and one.comm == "echo"]
    assert exec_.workload == "shop"
    assert exec_.detail == "/bin/echo a\\x1b[31mb c"
    assert cgroup.stat().st_ino in probes.started()
    exits = [one for one in events if one.kind == "exit" and one.workload == "shop"]
    told = sum(1 if one.unit == "ns" else one.value for one in exits)
    assert told == count + 1
    assert "exit 7" in {one.detail for one in exits}
    assert sensor.state().lost == 0
    sensor.close()


@pytest.mark.needs("bpf")
def test_bytes_read_are_what_dd_read(cgroup, controllers):
    place = {"shop": (f"/{cgroup.name}", cgroup.stat().st_ino)}
    probes = SharedProbes()
    sensors = [CgroupSensor(), BlockSensor(probes)]
    for sensor in sensors:
        sensor.follow(place)
    start(cgroup, "pass").wait()
    before = [read_bytes(sensor) for sensor in sensors]
    dd = ["dd", "if=/dev/vda", "of=/dev/null", "bs=64k", "count=64", "iflag=direct"]
    start(cgroup, f"os.execvp('dd', {dd})").wait()
    after = [read_bytes(sensor) for sensor in sensors]
    # dd itself may be read from the disk: that counts too, and on both sides.
    grown = [now - then for now, then in zip(after, before, strict=True)]
    assert grown[0] == grown[1]
    assert (4 << 20) <= grown[0] <= (5 << 20)
    probes.close()


def read_bytes(sensor) -> float:
    found = [s.value for s in sensor.read() if (s.workload, s.signal) == READ]
    return found[0] if found else 0.0


def test_without_the_programs_it_is_said(tmp_path):
    probes = SharedProbes(tmp_path)
    sensor = ProcessSensor(probes)
    sensor.follow({"shop": ("/shop", 1)})
    assert sensor.read() == [] == sensor.events()
    assert "make ebpf" in sensor.state().missing
    assert sensor.fileno() == -1
    sensor.close()
