// graphile-worker: https://worker.graphile.org/docs

import { drain, fill, latency, main, packages, settings, single, version, work } from "../node/peer.mjs";

const require = packages("graphile-worker");
const { Logger, makeWorkerUtils, run, runMigrations } = require("graphile-worker");
const { Pool } = require("pg");

const TASK = "noop";
const PAYLOAD = { input: "hello" };
const FILL_BATCH = 100_000;

// concurrentJobs and the delay are those of the page "Performance". Measured on 2 cores, jobs/s, median of 3 drains of 100,000 (of 50,000
// with 500): 2 processes with a local queue of 500: 42,000, of 2,000: 63,000, of 5,000: 75,600, of 10,000: 87,200; 1 process with 500:
// 32,000, with 5,000: 59,100; 2 processes with 5,000 and concurrentJobs 100: 79,500. The page has 500. 10,000 times 2 is not taken because
// jobs are claimed before the first handler starts, so that a fifth of the claims would be outside the time measured.
const chosen = settings({ processes: 2, concurrentJobs: 24, localQueue: 5000, completeJobBatchDelay: 0 });

// The preset of the page's quick stats, which latency is one of. p50 2.6 ms, as with concurrentJobs 1 or without the local queue.
const idle = { concurrentJobs: 24, maxPoolSize: 25, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };

const logger = new Logger(() => (level, message) => level === "error" && console.error(message));

function pool(max) {
  const pool = new Pool({ connectionString: process.env.DATABASE_URL, max });
  pool.on("error", (error) => console.error(error.message));
  pool.on("connect", (client) => client.on("error", (error) => console.error(error.message)));
  return pool;
}

const postgres = pool(2);
const ask = async (sql, values) => (await postgres.query(sql, values)).rows[0];

function start(worker, handler) {
  const pgPool = pool(worker.maxPoolSize);
  const task = async () => handler(1);
  return run({ preset: { worker: { ...worker, logger } }, pgPool, taskList: { [TASK]: task }, parsedCronItems: [], noHandleSignals: true });
}

await main({
  about: () => ({
    name: "graphile-worker",
    version: version("graphile-worker"),
    settings:
      `${chosen.processes} processes, each concurrentJobs ${chosen.concurrentJobs}, localQueue.size ${chosen.localQueue}, ` +
      `completeJobBatchDelay ${chosen.completeJobBatchDelay} ms, pool of ${chosen.concurrentJobs + 1}; Node ${process.versions.node}`,
    keeps_record: false,
  }),

  prepare: async () => {
    await runMigrations({ pgPool: postgres, preset: { worker: { logger } } });
    return {};
  },

  // As the peer's own performance test fills: add_jobs in SQL, its rows not sent back.
  fill: (jobs) =>
    fill(jobs, FILL_BATCH, async (count) => {
      const specs = Array(count).fill({ identifier: TASK, payload: PAYLOAD });
      const array = "array(select json_populate_recordset(null::graphile_worker.job_spec, $1::json))";
      await ask(`select count(*) from graphile_worker.add_jobs(${array})`, [JSON.stringify(specs)]);
    }),

  drain: (jobs) =>
    drain(jobs, chosen.processes, async () => (await ask("select not exists (select from graphile_worker.jobs) as empty")).empty),

  work: () =>
    work(async (handler) => {
      const worker = {
        concurrentJobs: chosen.concurrentJobs,
        maxPoolSize: chosen.concurrentJobs + 1,
        completeJobBatchDelay: chosen.completeJobBatchDelay,
        failJobBatchDelay: chosen.completeJobBatchDelay,
        localQueue: { size: chosen.localQueue },
      };
      const runner = await start(worker, handler);
      return () => runner.stop();
    }),

  single: async (jobs, callers) => {
    const utils = await makeWorkerUtils({ pgPool: pool(callers), preset: { worker: { logger } } });
    return single(jobs, callers, () => utils.addJob(TASK, PAYLOAD));
  },

  latency: async (jobs, pauseMs) => {
    const utils = await makeWorkerUtils({ pgPool: pool(2), preset: { worker: { logger } } });
    return latency(jobs, pauseMs, {
      start: async (handler) => {
        const runner = await start(idle, () => handler());
        return () => runner.stop();
      },
      submit: () => utils.addJob(TASK, PAYLOAD),
    });
  },

  state: async () => ({ open: (await ask("select count(*)::int as open from graphile_worker.jobs")).open, done: null }),
});
