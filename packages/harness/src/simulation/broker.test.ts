import { seededRandom } from "@psgd/core";
import { expect, it } from "vitest";
import { Broker } from "./broker.js";
import { Machine } from "./machine.js";
import type { Fault } from "./scenario.js";
import { Scheduler } from "./scheduler.js";
import { Trace } from "./trace.js";

// What core NATS does: each line here was measured on nats-server 2.9.10 before it was modelled.

async function pair(faults: readonly Fault[] = []) {
  const scheduler = new Scheduler();
  const trace = new Trace(() => scheduler.nowMs, false);
  const onBug = (error: unknown): void => {
    throw error as Error;
  };
  const broker = new Broker({ scheduler, trace, onBug }, seededRandom(1), faults);
  const machines = [new Machine(scheduler, 0), new Machine(scheduler, 0)] as const;
  const [a, b] = [broker.connect(0, machines[0]), broker.connect(1, machines[1])];
  const got: number[] = [];
  await b.listen("b", (frame) => void got.push(frame[60]!));
  const send = (number: number): void => {
    const frame = new Uint8Array(64);
    frame[60] = number;
    a.send("b", frame);
  };
  /** Lets everything happen until `ms`. */
  const runUntil = (ms: number): void => {
    scheduler.after(ms - scheduler.nowMs, () => {});
    while (scheduler.nowMs < ms) scheduler.runNext();
  };
  return { a, b, got, send, runUntil, machines, scheduler };
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

it("keeps the order of one sender and one address", async () => {
  const { got, send, runUntil } = await pair([{ kind: "delay", ms: 100 }]);
  for (const number of range(50)) send(number);
  runUntil(1000);
  expect(got).toEqual(range(50));
});

it("forgets what is published without a connection, and replays nothing afterwards", async () => {
  const { a, got, send, runUntil } = await pair([{ kind: "broker restart", atMs: 10, ms: 500 }]);
  const statuses: string[] = [];
  a.onStatus((status) => statuses.push(status));
  runUntil(20);
  send(1);
  runUntil(2000);
  send(2);
  runUntil(2010);
  expect(statuses).toEqual(["disconnected", "connected"]);
  expect(got).toEqual([2]);
});

it("holds frames back while a cable is cut for a short time, and loses them when the client gives up", async () => {
  const cut = { kind: "cut", node: 0, direction: "from", atMs: 10 } as const;
  for (const [ms, expected] of [
    [1000, [1, 2]],
    [5000, [2]],
  ] as const) {
    const { got, send, runUntil } = await pair([{ ...cut, ms }]);
    runUntil(20);
    send(1);
    runUntil(10_000);
    send(2);
    runUntil(10_010);
    expect(got, `cut for ${ms} ms`).toEqual(expected);
  }
});

it("cuts off a client that does not read, and keeps one that reads later", async () => {
  for (const [bytes, expected] of [
    [640, []],
    [6400, range(20)],
  ] as const) {
    const { got, send, runUntil, machines } = await pair([{ kind: "slow consumer limit", bytes }]);
    machines[1].pause(1000);
    for (const number of range(20)) send(number);
    runUntil(500);
    expect(got).toEqual([]);
    runUntil(5000);
    expect(got, `limit ${bytes}`).toEqual(expected);
  }
});

it("loses, doubles and damages the part of the frames that it is told to", async () => {
  const { got, send, runUntil } = await pair([
    { kind: "loss", rate: 0.3 },
    { kind: "duplication", rate: 0.5 },
  ]);
  for (const number of range(200)) send(number);
  runUntil(1000);
  // Binomial with 200 draws: the standard deviations are 6.5 and 6; five of them either way.
  expect(new Set(got).size).toBeGreaterThan(200 * 0.7 - 33);
  expect(new Set(got).size).toBeLessThan(200 * 0.7 + 33);
  expect(got.length - new Set(got).size).toBeGreaterThan(140 * 0.5 - 30);
});

it("does nothing on a machine that is off, and later on one that is paused", async () => {
  const { got, send, runUntil, machines } = await pair();
  machines[1].pause(100);
  send(1);
  runUntil(50);
  expect(got).toEqual([]);
  runUntil(200);
  expect(got).toEqual([1]);
  machines[1].switchOff();
  send(2);
  runUntil(300);
  expect(got).toEqual([1]);
});
