import { expect, it } from "vitest";
import { inEveryOrder } from "./every-order.js";

/** The order in which three things happen, one of which only after the first. */
async function orders(most: number): Promise<{ seen: string[]; isComplete: boolean }> {
  const seen: string[] = [];
  const { isComplete } = await inEveryOrder(most, async (choose) => {
    const order: string[] = [];
    const open = ["a", "b"];
    while (open.length > 0) {
      const [next] = open.splice(choose(open.length), 1);
      if (next === "a") open.push("after a");
      order.push(next!);
    }
    seen.push(order.join());
    return Promise.resolve(true);
  });
  return { seen, isComplete };
}

it("tries every order once", async () => {
  const { seen, isComplete } = await orders(100);
  expect(isComplete).toBe(true);
  expect(seen.sort()).toEqual(["a,after a,b", "a,b,after a", "b,a,after a"]);
});

it("stops when there is no time for more, and says so", async () => {
  const { seen, isComplete } = await orders(2);
  expect(isComplete).toBe(false);
  expect(new Set(seen).size).toBe(2);
});

it("stops when it is told to", async () => {
  let count = 0;
  const { orderCount } = await inEveryOrder(100, (choose) => {
    choose(3);
    return Promise.resolve(++count < 2);
  });
  expect(orderCount).toBe(2);
});
