import { describe, expect, it } from "vitest";
import type { TrainingCurves } from "../conformance/training-curves.js";
import { reportPage } from "./page.js";
import { barPlot, linePlot } from "./plot.js";

describe("the page", () => {
  const finding = {
    check: "mean",
    verdict: "wrong",
    number: "<1 %",
    text: "a & b",
    seed: 3,
    story: "1. x",
  } as const;

  const curvesWith = (links: TrainingCurves["links"]): TrainingCurves => ({
    ...{ codec: [], uncompressed: [], tensors: [], staleness: [], links },
  });

  it("has nodes in the order of their numbers, and says so if nobody sends anything", () => {
    const links = [10, 9, 2].map((id) => ({ from: "node 0", to: `node ${id}`, bytes: 1 }));
    const pageOf = (curves: TrainingCurves): string =>
      reportPage("a", [{ sync: "ssgd", findings: [{ ...finding, curves }] }]);
    const names = [...pageOf(curvesWith(links)).matchAll(/<th>to (node \d+)<\/th>/g)];
    expect(names.map(([, name]) => name)).toEqual(["node 0", "node 2", "node 9", "node 10"]);
    expect(pageOf(curvesWith([]))).toContain("nobody sends anything");
  });

  it("stands alone: no script and no address of another place", () => {
    const point = { step: 1, bytes: 10, loss: 1, accuracy: 0.5 };
    const curves = {
      codec: [point, { ...point, step: 2, bytes: 20 }],
      uncompressed: [point],
      links: [
        { from: "node 0", to: "node 1", bytes: 5 },
        { from: "node 1", to: "node 0", bytes: 2 },
      ],
      tensors: [{ name: "kernel", bytes: 5 }],
      staleness: [[0, 7]] as const,
    };
    const page = reportPage("a<b", [{ sync: "ssgd", findings: [{ ...finding, curves }] }]);
    expect(page).not.toMatch(/<script|https?:|src=|href=/);
    expect(page).toContain("<h1>a&lt;b</h1>");
    expect(page).toContain(
      '<td class="wrong">wrong</td><td>mean</td><td>&lt;1 %</td><td>a &amp; b<pre>1. x</pre>',
    );
    expect(page.match(/<svg /g)).toHaveLength(5);
    expect(page).toMatch(/<th>node 0<\/th><td><\/td><td style="[^"]*60%[^"]*">5<\/td>/);
    expect(page).toMatch(/<th>node 1<\/th><td style="[^"]*24%[^"]*">2<\/td><td><\/td>/);
  });

  it("draws lines to where the numbers are", () => {
    const svg = linePlot(
      [
        {
          name: "s",
          points: [
            [1, 0],
            [10, 1],
            [100, 0.5],
          ],
        },
      ],
      { title: "t", xLabel: "x", yLabel: "y", isLogarithmic: true },
    );
    // From the left to the right edge, the middle by powers of ten, up and half way down.
    expect(svg).toContain('d="M64.0 252.0L284.0 34.0L504.0 143.0"');
    expect(
      linePlot([{ name: "none", points: [] }], { title: "", xLabel: "", yLabel: "" }),
    ).not.toContain("NaN");
  });

  it("draws bars as long as their numbers", () => {
    const svg = barPlot(
      [
        { name: "a", value: 1500 },
        { name: "b", value: 750 },
      ],
      "bars",
    );
    expect(svg).toMatch(/width="250.0"[^]*>1.5k<[^]*width="125.0"[^]*>750</);
  });
});
