import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { SendingWindow } from "./sending-window.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** A function of its own: a frame of a running one may still refer to what it has made last. */
function send(window: SendingWindow, count: number): WeakRef<Uint8Array>[] {
  return Array.from({ length: count }, () => {
    const frame = new Uint8Array(100);
    window.add(frame, 100, 0);
    return new WeakRef(frame);
  });
}

it("keeps nothing of what has arrived", async () => {
  const window = new SendingWindow(() => {}, true, 8);
  const frames = send(window, 5);
  window.acknowledge({ acknowledged: 5, early: 0 }, 1);
  expect([window.isEmpty, window.queuedBytes]).toEqual([true, 0]);
  // References count as used until the end of the turn that made them.
  await new Promise(setImmediate);
  collectGarbage();
  expect(frames.filter((frame) => frame.deref() !== undefined)).toHaveLength(0);
  window.clear();
});
