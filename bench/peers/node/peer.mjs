// What the adapters of Node peers share: the command line, worker processes, and the clock.

import { fork } from "node:child_process";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const STALLED_MS = 300_000;
const WARM_UP = 20;

// A peer's packages, from where setup.sh installed them.
export const packages = (name) => createRequire(join(process.env.TASKROW_PEERS_DIR, name, "package.json"));

export const version = (name) =>
  JSON.parse(readFileSync(join(process.env.TASKROW_PEERS_DIR, name, "node_modules", name, "package.json"))).version;

// An adapter's settings; PEER_SETTINGS (JSON) replaces some of them, to measure others.
export const settings = (defaults) => ({ ...defaults, ...JSON.parse(process.env.PEER_SETTINGS ?? "{}") });

export const monotonicMs = () => Number(process.hrtime.bigint()) / 1e6;

// Runs the command that the command line names and prints its result as one line of JSON.
export async function main(commands) {
  console.log = console.info = console.debug = console.error; // stdout is for the result
  process.on("unhandledRejection", fail);
  const [name, ...args] = process.argv.slice(2);
  if (!Object.hasOwn(commands, name)) fail(`unknown command: ${name}`);
  progress();
  // A drain watches its workers, which end with it.
  if (name !== "work") setInterval(() => monotonicMs() - lastProgress > STALLED_MS && fail(`${name}: no progress for 300 s`), 1000).unref();
  try {
    const result = await commands[name](...args.map(Number));
    if (result !== undefined) process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
  } catch (error) {
    fail(error);
  }
}

function fail(error) {
  process.stderr.write(`${String(error?.message ?? error).split("\n")[0]}\n`);
  process.exit(1);
}

// Without it for 300 seconds, this process ends.
let lastProgress;
const progress = () => (lastProgress = monotonicMs());

async function seconds(work) {
  const from = monotonicMs();
  await work();
  return { seconds: (monotonicMs() - from) / 1000 };
}

// Submits `jobs` jobs, at most `batch` a call.
export const fill = (jobs, batch, submit) =>
  seconds(async () => {
    for (let left = jobs; left > 0; left -= batch) {
      await submit(Math.min(left, batch));
      progress();
    }
  });

// `callers` loops that submit `jobs` jobs, one per awaited call.
export function single(jobs, callers, submit) {
  let left = jobs;
  const caller = async () => {
    while (left-- > 0) {
      await submit();
      progress();
    }
  };
  return seconds(() => Promise.all(Array.from({ length: callers }, caller)));
}

// Submits one job at a time to an idle worker of this process, whose handler is `started`.
// `start(handler)` starts that worker and returns how to stop it.
export async function latency(jobs, pauseMs, { start, submit }) {
  let started = () => {};
  const stop = await start(() => started(monotonicMs()));
  const samples = [];
  for (let number = 0; number < WARM_UP + jobs; number++) {
    await sleep(pauseMs);
    const starting = new Promise((resolve) => (started = resolve));
    const from = monotonicMs();
    await submit();
    const took = (await starting) - from;
    if (number >= WARM_UP) samples.push(took);
    progress();
  }
  await stop();
  samples.sort((a, b) => a - b);
  const percentile = (share) => samples[Math.ceil(share * samples.length) - 1];
  return { p50_ms: percentile(0.5), p99_ms: percentile(0.99) };
}

// Drains `jobs` waiting jobs with `processes` worker processes, each running the adapter's `work` command.
// Time runs from the first start of a handler, in whichever process, until `isEmpty` says so.
export async function drain(jobs, processes, isEmpty) {
  let first = Infinity;
  const counts = new Map();
  const ran = () => [...counts.values()].reduce((sum, count) => sum + count, 0);
  const workers = Array.from({ length: processes }, () => fork(process.argv[1], ["work"]));
  const exits = workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve)));
  exits.forEach((exit) => exit.then((code) => code === 0 || fail(`a worker process ended with ${code}`)));
  const ready = workers.map(
    (worker) =>
      new Promise((resolve) =>
        worker.on("message", (report) => {
          if (report.ready) return resolve();
          first = Math.min(first, report.first);
          counts.set(worker, report.ran);
          progress();
        }),
      ),
  );
  await Promise.all(ready);
  workers.forEach((worker) => worker.send("begin"));
  while (ran() < jobs) await sleep(1);
  while (!(await isEmpty())) await sleep(5);
  const took = monotonicMs() - first;
  workers.forEach((worker) => worker.send("stop"));
  await Promise.all(exits);
  return { seconds: took / 1000, ran: ran() };
}

// The `work` command: one worker process of a drain. `begin(handler)` starts the workers and returns how to stop them;
// `handler` is to be called with the number of jobs that start.
export async function work(begin) {
  let first;
  let ran = 0;
  let reported = 0;
  const handler = (jobs) => {
    first ??= monotonicMs();
    ran += jobs;
  };
  const report = (done) => (reported === ran ? done?.() : process.send({ first, ran: (reported = ran) }, done));
  process.on("disconnect", () => process.exit(1));
  process.send({ ready: true });
  await message("begin");
  const stop = await begin(handler);
  setInterval(report, 5);
  await message("stop");
  await stop();
  report(() => process.exit(0));
}

const message = (expected) =>
  new Promise((resolve) => process.on("message", (text) => text === expected && resolve()));
