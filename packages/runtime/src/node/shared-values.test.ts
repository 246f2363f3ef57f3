import { expect, it } from "vitest";
import { SharedValues } from "./shared-values.js";

class Thing implements Disposable {
  disposedCount = 0;
  [Symbol.dispose](): void {
    this.disposedCount++;
  }
}

it("makes a value once for all who hold it, and disposes of it after the last", async () => {
  const shared = new SharedValues();
  let madeCount = 0;
  const make = async (): Promise<Thing> => {
    madeCount++;
    return new Thing();
  };
  const [first, second] = await Promise.all([shared.hold("a", make), shared.hold("a", make)]);
  const other = await shared.hold("b", make);
  expect(madeCount).toBe(2);
  expect(first.value).toBe(second.value);
  first.release();
  const third = await shared.hold("a", make);
  expect(third.value).toBe(first.value);
  second.release();
  expect(first.value.disposedCount).toBe(0);
  third.release();
  expect([first.value.disposedCount, other.value.disposedCount]).toEqual([1, 0]);
  expect((await shared.hold("a", make)).value).not.toBe(first.value);
});

it("tries again after a failure that all who waited have seen", async () => {
  const shared = new SharedValues();
  const failing = async (): Promise<Thing> => {
    throw new Error("no data");
  };
  const outcomes = await Promise.allSettled([shared.hold("a", failing), shared.hold("a", failing)]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  const { value } = await shared.hold("a", async () => new Thing());
  expect(value.disposedCount).toBe(0);
});
