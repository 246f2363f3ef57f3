import { Writable } from "node:stream";
import type { NodeProgress } from "@psgd/runtime";
import { describe, expect, it } from "vitest";
import { bytesText, liveDisplay, type LiveDisplay } from "./live-display.js";

function progress(values: Partial<NodeProgress> = {}): NodeProgress {
  return {
    epoch: 1,
    epochs: 2,
    step: 50,
    stepCount: 100,
    loss: 0.25,
    accuracy: 0.5,
    samplesPerSec: 1234.5,
    bytesSent: 1_500,
    bytesReceived: 2_000_000,
    ...values,
  };
}

function display(
  terminal: { columns: number } | undefined,
  now: () => number = () => 0,
): { display: LiveDisplay; written: () => string } {
  let written = "";
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      written += chunk.toString();
      done();
    },
  });
  const output = Object.assign(stream, { isTTY: terminal !== undefined, ...terminal });
  return {
    display: liveDisplay(output as unknown as NodeJS.WriteStream, now),
    written: () => written,
  };
}

describe("the live display without a terminal", () => {
  it("writes a line a node now and then, and always the last", () => {
    let time = 0;
    const { display: shown, written } = display(undefined, () => time);
    shown.update(0, progress());
    time = 4_999;
    shown.update(0, progress({ step: 60 }));
    shown.update(1, progress({ step: 7, accuracy: undefined, loss: undefined }));
    time = 5_000;
    shown.update(0, progress({ step: 70 }));
    shown.update(0, progress({ step: 100 }));
    expect(written().split("\n")).toEqual([
      "node 0    50%  epoch 1/2  step 50/100  loss 0.2500  accuracy 0.500  1235 samples/s  out 1.50 kB in 2.00 MB",
      "node 1     7%  epoch 1/2  step 7/100  loss -  1235 samples/s  out 1.50 kB in 2.00 MB",
      "node 0    70%  epoch 1/2  step 70/100  loss 0.2500  accuracy 0.500  1235 samples/s  out 1.50 kB in 2.00 MB",
      "node 0   100%  epoch 1/2  step 100/100  loss 0.2500  accuracy 0.500  1235 samples/s  out 1.50 kB in 2.00 MB",
      "",
    ]);
  });

  it("writes no control characters", () => {
    const { display: shown, written } = display(undefined);
    shown.update(0, progress());
    shown.print("text");
    shown.close();
    expect(written()).not.toContain("\x1b");
  });
});

describe("the live display on a terminal", () => {
  it("redraws its lines in place, node by node, cut to the width, with a bar", () => {
    const { display: shown, written } = display({ columns: 50 });
    shown.update(1, progress());
    shown.update(0, progress({ step: 100 }));
    const [, second] = written().split("\x1b[1A\x1b[J");
    const lines = second!.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^node 0 {3}\[#{20}\]/);
    expect(lines[1]).toMatch(/^node 1 {3}\[#{10}\.{10}\]/);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(49);
  });

  it("writes other text above what it shows", () => {
    const { display: shown, written } = display({ columns: 80 });
    shown.update(0, progress());
    shown.print("hello");
    expect(written()).toContain("\x1b[1A\x1b[Jhello\nnode 0");
    shown.close();
    shown.print("bye");
    expect(written()).toContain("\nbye\n");
  });
});

it.each([
  [0, "0 B"],
  [999, "999 B"],
  [1_000, "1.00 kB"],
  [12_345, "12.3 kB"],
  [1e9, "1.00 GB"],
  [5e15, "5.00e+3 TB"],
])("%d bytes are %s", (bytes, text) => {
  expect(bytesText(bytes)).toBe(text);
});
