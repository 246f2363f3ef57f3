import { expect, it } from "vitest";
import { table } from "./table.js";

it("makes columns as wide as their widest cell, without spaces at the end", () => {
  expect(table(["A", "LONG"], [["xyz", "1"], ["", "22"], ["q"]])).toBe(
    "A    LONG\nxyz  1\n     22\nq\n",
  );
});

it("is its header when there are no rows", () => {
  expect(table(["A", "B"], [])).toBe("A  B\n");
});
