import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { diskStore } from "../system/disk-store.js";
import { Trace, type TrainingRow } from "./trace.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "psgd-trace-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const TITLE = "N(2)-R(1)-ID(0)-CODEC(plain.Plain)";

function row(values: Partial<TrainingRow> = {}): TrainingRow {
  return {
    timeSec: 1.23456,
    epoch: 2,
    batch: 3,
    batchesPerEpoch: 4,
    total: 7,
    loss: 0.1,
    accuracy: 0.875,
    bytesSent: 1e6,
    bytesReceived: 0,
    ...values,
  };
}

const read = (kind: string): Promise<string> =>
  readFile(join(directory, "files", `${kind}-${TITLE}.csv`), "utf8");

describe("the trace of a node", () => {
  it("has the original's columns and numbers that a program reads back", async () => {
    const trace = new Trace(diskStore(directory), "files", TITLE);
    trace.step(row());
    trace.step(row({ loss: 1e-9, accuracy: undefined, bytesSent: 2 ** 40 }));
    trace.evaluation({ timeSec: 9, epoch: 1, total: 4, loss: 0.5, accuracy: undefined });
    await trace.flush();
    expect(await read("T")).toBe(
      "Time,Epochs,Batches,in,Total,Loss,accuracy,BytesSent,BytesReceived\n" +
        "1.2346,2,3,4,7,0.1,0.875,1000000,0\n" +
        "1.2346,2,3,4,7,1e-9,,1099511627776,0\n",
    );
    expect(await read("E")).toBe("Time,Epochs,Total,Loss,accuracy\n9.0000,1,4,0.5,\n");
  });

  it("has its header once, however often it is flushed, and rows in their order", async () => {
    const trace = new Trace(diskStore(directory), "files", TITLE);
    for (const total of [1, 2, 3]) {
      trace.step(row({ total }));
      await trace.flush();
    }
    await trace.flush();
    const lines = (await read("T")).trimEnd().split("\n");
    expect(lines.map((line) => line.split(",")[4])).toEqual(["Total", "1", "2", "3"]);
  });

  it("has no row twice or missing when steps come while it is written", async () => {
    const trace = new Trace(diskStore(directory), "files", TITLE);
    trace.step(row({ total: 1 }));
    const flushing = trace.flush();
    trace.step(row({ total: 2 }));
    await flushing;
    await trace.flush();
    const lines = (await read("T")).trimEnd().split("\n");
    expect(lines.slice(1).map((line) => line.split(",")[4])).toEqual(["1", "2"]);
  });

  it("writes nothing before it is flushed", async () => {
    new Trace(diskStore(directory), "files", TITLE).step(row());
    expect(await readdir(directory)).toEqual([]);
  });
});
