import { describe, expect, it } from "vitest";
import { layoutOf, layoutOfTensor, requireLength } from "./layout.js";

describe("the layout of a model", () => {
  const layout = layoutOf([
    { name: "kernel", shape: [784, 128] },
    { name: "bias", shape: [128] },
    { name: "scale", shape: [] },
    { name: "nothing", shape: [0, 4] },
    { name: "last", shape: [2, 1, 3] },
  ]);

  it("puts tensors one after the other without gaps", () => {
    expect(layout.tensors.map(({ offset, size }) => [offset, size])).toEqual([
      [0, 100352],
      [100352, 128],
      [100480, 1],
      [100481, 0],
      [100481, 6],
    ]);
    expect(layout.size).toBe(100487);
  });

  it("keeps shapes that the caller changes later", () => {
    const shape = [2, 3];
    const { tensors } = layoutOf([{ name: "w", shape }]);
    shape[0] = 9;
    expect(tensors[0]!.shape).toEqual([2, 3]);
  });

  it("has the layout of one tensor start at 0", () => {
    expect(layoutOfTensor(layout.tensors[4]!)).toEqual({
      tensors: [{ name: "last", shape: [2, 1, 3], offset: 0, size: 6 }],
      size: 6,
    });
  });

  it("is empty without tensors", () => {
    expect(layoutOf([])).toEqual({ tensors: [], size: 0 });
  });
});

describe("requireLength", () => {
  it("names what it looked at, what it expected and what it got", () => {
    expect(() => requireLength([1, 2], 3, "result of Plain")).toThrow(
      /^SHAPE_MISMATCH: result of Plain: expected 3 values, got 2$/,
    );
    expect(() => requireLength(new Float32Array(3), 3, "result")).not.toThrow();
  });
});
