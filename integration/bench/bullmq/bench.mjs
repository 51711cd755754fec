// The BullMQ side of the benchmark. The Go runner starts it once and sends one
// JSON command a line on standard input: {"id":1,"cmd":"submit",...}. Each is
// answered by one line on standard output: {"id":1,"ok":{...}} or
// {"id":1,"error":"..."}. Commands run concurrently, so that a worker can run
// while tasks are submitted, in one process as in the Go systems.
import readline from 'node:readline';
import { createRequire } from 'node:module';

// BullMQ's build for require(): the documented entry of the package.
const { Queue, QueueEvents, Worker } = createRequire(import.meta.url)('bullmq');

const name = 'bench';
let connection; // host and port of the run's redis-server
let queue;
let events;
let worker;

// What the worker has handled since it started.
let handled = 0;
let firstStart = 0;
let waiting = null; // {n, resolve}
const started = new Map(); // job id -> time, for the latency samples

const now = () => performance.timeOrigin + performance.now();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const payload = (size) => 'x'.repeat(size);
const drop = { removeOnComplete: true, removeOnFail: true };

// callers runs send(i) for i in 0..n-1 from k concurrent loops.
async function callers(n, k, send) {
  let next = 0;
  const loop = async () => {
    while (next < n) await send(next++);
  };
  await Promise.all(Array.from({ length: k }, loop));
}

function jobOptions(at) {
  return at ? { ...drop, delay: Math.max(0, Math.round(at - now())) } : drop;
}

async function processor(job) {
  if (handled === 0) firstStart = now();
  if (job.name === 'probe') started.set(job.id, now());
  handled++;
  if (waiting && handled >= waiting.n) waiting.resolve();
  return job.name === 'noop' ? undefined : job.data;
}

const commands = {
  async open({ port }) {
    connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
    queue = new Queue(name, { connection });
    await queue.waitUntilReady();
  },

  async submit({ n, callers: k, size, at }) {
    const data = payload(size);
    await callers(n, k, () => queue.add('noop', data, jobOptions(at)));
  },

  async bulk({ n, batch, size, at }) {
    const data = payload(size);
    for (let i = 0; i < n; i += batch) {
      const jobs = [];
      for (let j = i; j < Math.min(i + batch, n); j++) jobs.push({ name: 'noop', data, opts: jobOptions(at) });
      await queue.addBulk(jobs);
    }
  },

  // The callers add all jobs, then wait for each result in turn, as the Go systems'
  // callers do; waiting for one before adding the next is three times slower.
  async await({ n, callers: k, size }) {
    const data = payload(size);
    const jobs = [];
    await listen();
    await callers(n, k, async (i) => { jobs[i] = await queue.add('echo', data); });
    await callers(n, k, async (i) => {
      const result = await jobs[i].waitUntilFinished(events);
      if (result !== data) throw new Error(`wrong result: ${result}`);
    });
  },

  async work({ concurrency }) {
    handled = 0;
    worker = new Worker(name, processor, { connection, concurrency });
    worker.on('error', (err) => process.stderr.write(`${err}\n`));
  },

  async handled({ n }) {
    if (handled < n) {
      await new Promise((resolve) => { waiting = { n, resolve }; });
      waiting = null;
    }
    return { first: firstStart };
  },

  async latency({ n, warm, pause }) {
    const data = payload(64);
    await listen();
    const start = [];
    const result = [];
    let max = 0;
    for (let i = 0; i < warm + n; i++) {
      await sleep(pause);
      const begin = now();
      const job = await queue.add('probe', data);
      await job.waitUntilFinished(events);
      const end = now();
      max = Math.max(max, end - begin);
      if (i >= warm) {
        start.push(started.get(job.id) - begin);
        result.push(end - begin);
      }
      started.delete(job.id);
    }
    return { start, result, max };
  },

  async stop() {
    await worker?.close(true);
    worker = undefined;
  },

  async close() {
    await commands.stop();
    await events?.close();
    await queue?.close();
    events = queue = undefined;
    waiting = null;
  },
};

async function listen() {
  if (events) return;
  events = new QueueEvents(name, { connection });
  events.setMaxListeners(0);
  queue.setMaxListeners(0);
  await events.waitUntilReady();
}

async function run(line) {
  const { id, cmd, ...args } = JSON.parse(line);
  const reply = (r) => process.stdout.write(`${JSON.stringify({ id, ...r })}\n`);
  try {
    if (!commands[cmd]) throw new Error(`no command ${cmd}`);
    reply({ ok: (await commands[cmd](args)) ?? {} });
  } catch (err) {
    reply({ error: String(err?.stack ?? err) });
  }
}

const input = readline.createInterface({ input: process.stdin });
input.on('line', run);
input.on('close', () => process.exit(0)); // the runner is gone
