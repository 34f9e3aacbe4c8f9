// pg-boss: https://timgit.github.io/pg-boss

import { drain, fill, latency, main, packages, settings, single, version, work } from "../node/peer.mjs";

const require = packages("pg-boss");
const { PgBoss } = require("pg-boss");
const { Pool } = require("pg");

const QUEUE = "noop";
const LISTENED = "noop-notify"; // a queue that notifies, which costs every submit something
const PAYLOAD = { input: "hello" };

// Measured on 2 cores, jobs/s, median of 3 drains of 100,000 (of 50,000 with 500): 2 processes with 2 workers each and batchSize 500:
// 28,800, 2,000: 34,000, 5,000: 37,800; 1 worker each and 5,000: 37,400, 10,000: 31,200; 1 process with 2 workers and 5,000: 33,700;
// batchSize 500 in a partitioned queue (a table of its own): 28,300. "priority" and "orderByCreatedOn" no longer change the query.
const chosen = settings({ processes: 2, localConcurrency: 2, batchSize: 5000, fillBatch: 10_000 });

const postgres = new Pool({ connectionString: process.env.DATABASE_URL, max: 1 });
const ask = async (sql) => (await postgres.query(sql)).rows[0];

async function start(options) {
  const boss = new PgBoss({ connectionString: process.env.DATABASE_URL, ...options });
  boss.on("error", (error) => console.error(error.message));
  await boss.start();
  return boss;
}

await main({
  about: () => ({
    name: "pg-boss",
    version: version("pg-boss"),
    settings:
      `${chosen.processes} processes, each localConcurrency ${chosen.localConcurrency} workers with batchSize ${chosen.batchSize}, ` +
      `burstWhenBatchFull, a pool of 10 (default); Node ${process.versions.node}`,
    keeps_record: true,
  }),

  prepare: async () => {
    const boss = await start();
    await boss.createQueue(QUEUE);
    await boss.createQueue(LISTENED, { notify: true });
    return {};
  },

  fill: async (jobs) => {
    const boss = await start();
    return fill(jobs, chosen.fillBatch, (count) => boss.insert(QUEUE, Array(count).fill({ data: PAYLOAD })));
  },

  drain: (jobs) =>
    drain(jobs, chosen.processes, async () => {
      const { empty } = await ask(`select not exists (select from pgboss.job where name = '${QUEUE}' and state < 'completed') as empty`);
      return empty;
    }),

  work: async () => {
    const boss = await start();
    await work(async (handler) => {
      const options = { localConcurrency: chosen.localConcurrency, batchSize: chosen.batchSize, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
      await boss.work(QUEUE, options, async (jobs) => handler(jobs.length));
      return () => boss.stop();
    });
  },

  single: async (jobs, callers) => {
    const boss = await start({ max: callers });
    return single(jobs, callers, () => boss.send(QUEUE, PAYLOAD));
  },

  latency: async (jobs, pauseMs) => {
    const boss = await start({ useListenNotify: true });
    return latency(jobs, pauseMs, {
      start: async (handler) => {
        await boss.work(LISTENED, { pollingIntervalSeconds: 0.5 }, async () => handler());
        return () => boss.stop();
      },
      submit: () => boss.send(LISTENED, PAYLOAD),
    });
  },

  state: () =>
    ask(
      `select count(*) filter (where state < 'completed')::int as open, count(*) filter (where state = 'completed')::int as done
       from pgboss.job where name in ('${QUEUE}', '${LISTENED}')`,
    ),
});
