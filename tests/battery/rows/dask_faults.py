"""R14: what a Dask cluster loses, and when; each case in a process of its own."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from battery.children import Awake, pet, run_child, say, with_tests
from battery.table import Figure, Row

WITHIN = 30.0  # seconds from a loss to its error
FILLED = 60.0  # the same where four workers have to die first, or their memory to fill
RUN = 300.0  # seconds after which a job counts as hanging


class Log:
    """Outcomes of one case: how many runs, the latest error, and what was wrong."""

    def __init__(self) -> None:
        self.runs, self.slowest, self.faults = 0, 0.0, []  # type: ignore[var-annotated]

    def equal(self, what: str, got: bytes, want: bytes) -> None:
        self.runs += 1
        if got != want:
            self.faults.append(f"{what}: other bytes")

    def told(
        self,
        what: str,
        call: Callable[[], object],
        errors: Any,
        said: str = "",
        within: float = WITHIN,
    ) -> None:
        """The call ends in such an error, in time."""
        self.runs += 1
        clock = Awake()
        try:
            call()
            self.faults.append(f"{what}: no error")
        except errors as error:
            if said not in str(error):
                self.faults.append(f"{what}: {error!r}")
        except Exception as error:
            traceback.print_exc()
            self.faults.append(f"{what}: {error!r}")
        took = clock.stop()
        self.slowest = max(self.slowest, took if within == WITHIN else 0.0)
        if took > within:
            self.faults.append(f"{what}: after {took:.0f} s")


@contextlib.contextmanager
def after(delay: float, action: Callable[..., object], *arguments: Any) -> Iterator[None]:
    """Do this while the body runs; the action is over when the body is."""
    timer = threading.Timer(delay, action, arguments)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def killed(log: Log, full: bool) -> None:
    """One of two workers is killed at a random time."""
    from battery.rows import dask_jobs as jobs

    delays = np.random.default_rng(0).uniform(0, 1.5, 20 if full else 3)
    wanted = {}
    for name, job in jobs.JOBS.items():
        for delay in delays:
            pet(RUN)
            with jobs.local_cluster() as client:
                if name not in wanted:
                    wanted[name] = job(client)
                with after(delay, jobs.kill, jobs.worker_pids(client)[0]):
                    got = job(client, 0.1)
                log.equal(f"{name}, killed after {delay:.2f} s", got, wanted[name])


def killed_often(log: Log, full: bool) -> None:
    """Six kills within one job."""
    import distributed

    import eigenflow as ef
    from battery.rows import dask_jobs as jobs

    def kill_on(client: Any) -> None:
        for _ in range(6):
            with contextlib.suppress(Exception):
                jobs.kill(jobs.worker_pids(client)[-1])
            time.sleep(2.5)

    with jobs.local_cluster() as client:
        want = jobs.svd_job(client)
        for i in range(3 if full else 1):
            pet(RUN)
            try:
                with after(0.5, kill_on, client):
                    got = jobs.svd_job(client, 0.3)
            # One task met four of the kills, or no worker was back in time.
            except (distributed.KilledWorker, ef.dask.WorkersLost):
                log.runs += 1
            else:
                log.equal(f"six kills, run {i}", got, want)


def stopped(log: Log, full: bool) -> None:
    """A worker that stands still for a while."""
    from battery.rows import dask_jobs as jobs

    with jobs.local_cluster() as client:
        want = jobs.svd_job(client)
        pid = jobs.worker_pids(client)[0]
        pet(RUN)

        def stop() -> None:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(30 if full else 5)
            os.kill(pid, signal.SIGCONT)

        with after(0.3, stop):
            log.equal("a worker stopped", jobs.svd_job(client, 0.05), want)


def deadly(log: Log, full: bool) -> None:
    """Blocks that kill every worker that makes them, or take more memory than it has."""
    import dask.array as da
    import distributed

    import eigenflow as ef
    from battery.rows import dask_jobs as jobs

    with jobs.local_cluster() as client:
        large = da.zeros((400_000, 400), chunks=(400_000, 400))
        call = lambda: ef.dask.svd(large, 5, client=client)  # noqa: E731
        log.told("large blocks", call, MemoryError, "want chunks of at most")
    for make in (jobs.dying, jobs.hungry):
        with jobs.local_cluster() as client:
            jobs.svd_job(client)
            pet(RUN)
            call = lambda: ef.dask.svd(jobs.matrix(make=make), 5, client=client)  # noqa: B023, E731
            errors = (distributed.KilledWorker, ef.dask.WorkersLost, MemoryError)
            log.told(make.__name__, call, errors, within=FILLED)


def abandoned(log: Log, full: bool) -> None:
    """All workers go for good, or the scheduler does."""
    import eigenflow as ef
    from battery.rows import dask_jobs as jobs

    for _ in range(5 if full else 1):
        for lost in ("workers", "scheduler"):
            pet(RUN)
            with jobs.outside_cluster() as cluster:
                jobs.svd_job(cluster.client)
                gone = cluster.workers if lost == "workers" else [cluster.scheduler]

                def kill_all(gone: Any = gone) -> None:
                    for process in gone:
                        process.kill()

                call = lambda cluster=cluster: jobs.svd_job(cluster.client, 0.2)  # noqa: E731
                with after(1.0, kill_all):
                    log.told(f"{lost} gone", call, ef.dask.WorkersLost, "client: ")


def client_gone(log: Log, full: bool) -> None:
    """A client is killed; the next one finds the workers free."""
    from battery.rows import dask_jobs as jobs

    for delay in np.random.default_rng(1).uniform(0.5, 3, 5 if full else 1):
        pet(RUN)
        with jobs.outside_cluster() as cluster:
            want = jobs.svd_job(cluster.client)
            command = [sys.executable, "-m", "battery.rows.dask_faults", "a client", cluster.file]
            env = with_tests()
            other = subprocess.Popen(command, stdout=subprocess.PIPE, env=env)
            assert other.stdout is not None
            other.stdout.readline()
            time.sleep(delay)
            other.kill()
            other.wait()
            log.equal("after a client's death", jobs.svd_job(cluster.client), want)
            until = time.monotonic() + WITHIN
            while any(cluster.client.processing().values()) and time.monotonic() < until:
                time.sleep(0.1)
            if any(cluster.client.processing().values()):
                log.faults.append("tasks of a dead client are still computed")


def a_client(file: str) -> None:
    """Compute until killed."""
    import distributed

    from battery.rows import dask_jobs as jobs

    with distributed.Client(scheduler_file=file) as client:
        print("start", flush=True)
        while True:
            jobs.svd_job(client, 0.1)


def bad_blocks(log: Log, full: bool) -> None:
    """A bad entry on a worker, in ragged chunks and beside empty ones, by its global position."""
    import dask.array as da

    import eigenflow as ef
    from battery.rows import dask_jobs as jobs

    system = ef.lds.LinearSystem(0.9, 1.0, 1.0, 1.0)
    values = np.random.default_rng(0).uniform(0.5, 1, (700, 30))
    with jobs.local_cluster() as client, client.as_current():
        for row, bad in ((0, np.inf), (433, -np.inf), (699, np.inf)):
            pet(RUN)
            spoiled = values.copy()
            spoiled[row, 7] = bad
            A = da.from_array(spoiled, chunks=((1, 0, 432, 200, 67), (30,)))
            y, at = A[:, 7], f"at position {row}"
            calls = {
                "svd": (lambda A=A: ef.dask.svd(A, 3, client=client), f"at position ({row}, 7)"),
                "filter": (lambda y=y: ef.lds.filter(system, y).filtered_mean.compute(), at),
                "solve": (lambda y=y: ef.flow.solve(y, 1.0, 2.0).compute(), at),
            }
            for name, (call, position) in calls.items():
                said = position if name != "filter" else str(row)
                log.told(f"{name}, {bad} in row {row}", call, ValueError, said)


def checkpoints(log: Log, full: bool) -> None:
    """A checkpoint that cannot be written, or was cut or changed."""
    import resource

    from battery.rows import dask_jobs as jobs

    want = jobs.svd_job(None)
    with tempfile.TemporaryDirectory() as folder:
        file, place = Path(folder) / "state.npz", Path(folder)
        (place / "a file").write_bytes(b"")
        for path in (place / "no folder" / "x", place, place / "a file" / "x"):
            call = lambda path=path: jobs.svd_job(None, checkpoint=path)  # noqa: E731
            log.told(f"checkpoint {path.name}", call, (OSError, ValueError), "checkpoint: ")
        interrupted = lambda: jobs.svd_job(None, checkpoint=file, make=jobs.failing())  # noqa: E731
        log.told("a job that fails", interrupted, RuntimeError, "no more reads")
        good = file.read_bytes()
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, limit[1]))
        resumed = lambda: jobs.svd_job(None, checkpoint=file)  # noqa: E731
        log.told("disk full", resumed, OSError, "checkpoint: could not write")
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        if file.read_bytes() != good or len(list(place.iterdir())) != 2:
            log.faults.append("disk full: the older checkpoint is not as it was")
        log.equal("resumed", resumed(), want)
        for data in damaged(good, 300 if full else 40):
            pet(RUN)
            file.write_bytes(data)
            log.told("a damaged checkpoint", resumed, ValueError, "checkpoint: ")


def damaged(good: bytes, count: int) -> Iterator[bytes]:
    """Cut the file, or change a byte of what it holds (headers of a zip have unused fields)."""
    rng = np.random.default_rng(0)
    for at in np.linspace(0, len(good) - 1, count // 2).astype(int):
        yield good[:at]
    begin = good.index(b"NUMPY")
    end = good.index(b"PK", begin)
    for at in rng.integers(begin, end, count - count // 2):
        yield good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :]


CASES = {
    "a worker killed": killed,
    "six kills in a job": killed_often,
    "a worker stopped": stopped,
    "deadly blocks": deadly,
    "no workers, no scheduler": abandoned,
    "a client killed": client_gone,
    "bad blocks": bad_blocks,
    "checkpoints": checkpoints,
}


def main(case: str, full: bool) -> None:
    warnings.simplefilter("ignore")
    log = Log()
    CASES[case](log, full)
    say(runs=log.runs, slowest=log.slowest, faults=log.faults)


def measure(full: bool) -> Figure:
    if importlib.util.find_spec("distributed") is None:
        return Figure("needs Dask and distributed", None)
    runs, slowest, faults, hangs = 0, 0.0, [], 0
    for case in CASES:
        began = time.monotonic()
        status, found, errors = run_child(
            "battery.rows.dask_faults", case, int(full), seconds=3600 if full else 600
        )
        print(f"{case}: {found}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        if status or found is None:
            hangs += 1
            faults.append(f"{case}: status {status}: {errors[-1500:]}")
            continue
        runs, slowest = runs + found["runs"], max(slowest, found["slowest"])
        faults += [f"{case}: {fault}" for fault in found["faults"]]
    print(*faults, sep="\n", file=sys.stderr)
    text = (
        f"{runs} runs in {len(CASES)} cases: the same bytes or a named error, at the latest "
        f"{slowest:.1f} s after the loss; {len(faults)} other outcomes, {hangs} cases without end"
    )
    return Figure(text, not faults)


ROW = Row(
    "A lost worker changes no byte of a Dask result; what cannot go on is a named error, soon.",
    "workers killed at random times, six times in a job, stopped, or out of memory; no workers, "
    "no scheduler, no client; bad blocks; checkpoints cut, changed, or without a disk",
    "the same bytes, or a named error within 30 s (60 s where worker after worker dies); no hang",
    measure,
)

if __name__ == "__main__":
    if sys.argv[1] == "a client":
        a_client(sys.argv[2])
    else:
        main(sys.argv[1], bool(int(sys.argv[2])))
