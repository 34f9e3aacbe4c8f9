"""pgqueuer: https://pgqueuer.readthedocs.io"""

import asyncio
import json
import logging
import math
import multiprocessing
import os
import sys
import time
from importlib.metadata import version
from multiprocessing.sharedctypes import RawArray

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, AsyncpgPoolDriver, PgQueuer, Queries

ENTRYPOINT = "noop"
PAYLOAD = b'{"input":"hello"}'
WARM_UP = 20
STALLED_S = 300

# Measured on 2 cores, jobs/s, mean of 2 drains of 50,000: 2 processes with 1 consumer each and batch_size 100: 10,600, 1,000: 29,900; with 2
# consumers and 1,000: 25,700; with 5 and 10, as its tools/benchmark.py has it: 3,900. Later, on a busier machine, median of 3: 1,000: 16,000,
# 2,000: 15,700, 5,000: 14,000; 1 process with 2,000: 13,200. PEER_SETTINGS (JSON) replaces some, to measure others.
CHOSEN = {"processes": 2, "consumers": 1, "batch_size": 1000, "fill_batch": 10_000}
CHOSEN |= json.loads(os.environ.get("PEER_SETTINGS", "{}"))


class Progress:
    """Raises when nothing has changed for 300 seconds."""

    def __init__(self, what: str) -> None:
        self.what, self.seen, self.since = what, None, time.monotonic()

    def check(self, now) -> None:
        if now != self.seen:
            self.seen, self.since = now, time.monotonic()
        elif time.monotonic() - self.since > STALLED_S:
            raise TimeoutError(f"{self.what}: no progress for {STALLED_S} s")


async def connect() -> asyncpg.Connection:
    return await asyncpg.connect(os.environ["DATABASE_URL"])


async def queries() -> Queries:
    return Queries(AsyncpgDriver(await connect()))


async def about() -> dict:
    return {
        "name": "pgqueuer",
        "version": version("pgqueuer"),
        "settings": (
            f"{CHOSEN['processes']} processes, each {CHOSEN['consumers']} consumer(s) with a connection of its own and "
            f"batch_size {CHOSEN['batch_size']}; asyncpg, uvloop, autovacuum as 'pgq autovac' sets it, durability durable; "
            f"a log row without the payload stays; Python {sys.version.split()[0]}"
        ),
        "keeps_record": False,
    }


async def prepare() -> dict:
    db = await queries()
    await db.install()
    await db.optimize_autovacuum()
    return {}


async def fill(jobs: int) -> dict:
    db = await queries()
    start = time.monotonic()
    for done in range(0, jobs, CHOSEN["fill_batch"]):
        count = min(CHOSEN["fill_batch"], jobs - done)
        async with asyncio.timeout(STALLED_S):
            await db.enqueue([ENTRYPOINT] * count, [PAYLOAD] * count, [0] * count)
    return {"seconds": time.monotonic() - start}


async def drain(jobs: int) -> dict:
    """From the first handler's start in any process (one monotonic clock) until the table is empty."""
    connection = await connect()
    spawn = multiprocessing.get_context("spawn")
    count = CHOSEN["processes"]
    ran, first = RawArray("q", count), RawArray("d", [math.inf] * count)
    begin, stop = spawn.Barrier(count), spawn.Event()
    workers = [spawn.Process(target=worker, args=(number, ran, first, begin, stop), daemon=True) for number in range(count)]
    for process in workers:
        process.start()
    progress = Progress("drain")

    async def wait(pause: float) -> None:
        progress.check(sum(ran))
        if any(process.exitcode is not None for process in workers):
            raise RuntimeError("a worker process ended early")
        await asyncio.sleep(pause)

    while sum(ran) < jobs:
        await wait(0.001)
    while not await connection.fetchval("select not exists (select from pgqueuer)"):
        await wait(0.005)
    seconds = time.monotonic() - min(first)
    stop.set()
    for process in workers:
        process.join(30)
    return {"seconds": seconds, "ran": sum(ran)}


def worker(number: int, ran: RawArray, first: RawArray, begin, stop) -> None:
    uvloop.run(work(number, ran, first, begin, stop))


async def work(number: int, ran: RawArray, first: RawArray, begin, stop) -> None:
    async def noop(_job) -> None:
        if first[number] == math.inf:
            first[number] = time.monotonic()
        ran[number] += 1

    managers = [PgQueuer(AsyncpgDriver(await connect())) for _ in range(CHOSEN["consumers"])]
    for manager in managers:
        manager.entrypoint(ENTRYPOINT)(noop)
    begin.wait(60)
    running = [asyncio.create_task(manager.run(batch_size=CHOSEN["batch_size"])) for manager in managers]
    parent = multiprocessing.parent_process()
    while not stop.is_set() and parent.is_alive() and not any(task.done() for task in running):
        await asyncio.sleep(0.02)
    for manager in managers:
        manager.shutdown.set()
    await asyncio.gather(*running)


async def single(jobs: int, callers: int) -> dict:
    pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=callers, max_size=callers)
    db = Queries(AsyncpgPoolDriver(pool))
    left = iter(range(jobs))

    async def caller() -> None:
        for _ in left:
            async with asyncio.timeout(STALLED_S):
                await db.enqueue(ENTRYPOINT, PAYLOAD)

    start = time.monotonic()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return {"seconds": time.monotonic() - start}


async def latency(jobs: int, pause_ms: int) -> dict:
    db, manager = await queries(), PgQueuer(AsyncpgDriver(await connect()))
    started: asyncio.Queue[float] = asyncio.Queue()

    @manager.entrypoint(ENTRYPOINT)
    async def note(_job) -> None:
        started.put_nowait(time.monotonic())

    running = asyncio.create_task(manager.run())
    samples = []
    for number in range(WARM_UP + jobs):
        await asyncio.sleep(pause_ms / 1000)
        submitted = time.monotonic()
        await db.enqueue(ENTRYPOINT, PAYLOAD)
        async with asyncio.timeout(STALLED_S):
            took = await started.get() - submitted
        if number >= WARM_UP:
            samples.append(took * 1000)
    manager.shutdown.set()
    await running
    samples.sort()
    return {f"p{share}_ms": samples[math.ceil(len(samples) * share / 100) - 1] for share in (50, 99)}


async def state() -> dict:
    connection = await connect()
    return {
        "open": await connection.fetchval("select count(*) from pgqueuer"),
        "done": await connection.fetchval("select count(*) from pgqueuer_log where status = 'successful'"),
    }


COMMANDS = {command.__name__: command for command in (about, prepare, fill, drain, single, latency, state)}


def main() -> None:
    logging.basicConfig(level=logging.ERROR)
    name, *args = sys.argv[1:]
    if name not in COMMANDS:
        sys.exit(f"unknown command: {name}")
    try:
        result = COMMANDS[name](*map(int, args))
        if name in ("prepare", "state"):
            result = asyncio.wait_for(result, STALLED_S)
        print(json.dumps(uvloop.run(result)))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}".splitlines()[0])


if __name__ == "__main__":
    main()
