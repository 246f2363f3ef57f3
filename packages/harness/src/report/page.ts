import type { SyncPolicyName } from "@psgd/sgd";
import type { Finding } from "../conformance/finding.js";
import { barPlot, escaped, linePlot, short, type Series } from "./plot.js";
import {
  STEPS_BY_TENSOR,
  type CurvePoint,
  type TrainingCurves,
} from "../conformance/training-curves.js";

/** What the kit has found under one sync policy. */
export interface ReportedExamination {
  readonly sync: SyncPolicyName;
  readonly findings: readonly Finding[];
}

const STYLE = `
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1120px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8884; }
.ok { color: #2a8a3e; } .note { color: #a07000; } .wrong { color: #c62828; font-weight: 600; } .skipped { opacity: .6; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1rem; }
.plots > div { overflow-x: auto; }
svg { width: 100%; height: auto; font-size: 11px; } svg text { fill: currentColor; }
svg .title { font-size: 13px; font-weight: 600; } svg .grid { stroke: #8883; }
pre { overflow-x: auto; background: #8881; padding: .6rem; }
`;

/** One HTML page that needs nothing else: what the kit has found of a codec, as tables and plots. */
export function reportPage(codec: string, examinations: readonly ReportedExamination[]): string {
  const sections = examinations.map(
    ({ sync, findings }) =>
      `<h2>${escaped(sync)}</h2>\n${findingsTable(findings)}\n` +
      findings.flatMap(({ curves }) => (curves === undefined ? [] : plotsOf(curves))).join("\n"),
  );
  return [
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width">',
    `<title>${escaped(codec)}</title><style>${STYLE}</style></head><body>`,
    `<h1>${escaped(codec)}</h1>`,
    ...sections,
    "</body></html>\n",
  ].join("\n");
}

function findingsTable(findings: readonly Finding[]): string {
  const rows = findings.map(
    ({ check, verdict, number, text, seed, story }) =>
      `<tr><td class="${verdict}">${verdict}</td><td>${escaped(check)}</td><td>${escaped(number)}</td>` +
      `<td>${escaped(text)}${story === undefined ? "" : `<pre>${escaped(story)}</pre>`}</td><td>${seed}</td></tr>`,
  );
  return `<table><tr><th>Verdict</th><th>Check</th><th>Number</th><th>What</th><th>Seed</th></tr>\n${rows.join("\n")}</table>`;
}

function plotsOf({ codec, uncompressed, links, tensors, staleness }: TrainingCurves): string {
  const both = (of: (point: CurvePoint) => readonly [number, number]): Series[] => [
    { name: "codec", points: codec.map(of) },
    { name: "everything in fp32", points: uncompressed.map(of) },
  ];
  const yLabel = "accuracy on the test set";
  const plots = [
    linePlot(
      both(({ step, accuracy }) => [step, accuracy]),
      { title: "Accuracy against steps", xLabel: "steps", yLabel },
    ),
    linePlot(
      both(({ bytes, accuracy }) => [bytes, accuracy]),
      {
        title: "Accuracy against bytes",
        xLabel: "bytes sent by all nodes",
        yLabel,
        isLogarithmic: true,
      },
    ),
    linePlot(
      both(({ step, loss }) => [step, loss]),
      { title: "Loss against steps", xLabel: "steps", yLabel: "cross-entropy on the test set" },
    ),
    barPlot(
      tensors.map(({ name, bytes }) => ({ name, value: bytes })),
      `Bytes by tensor in ${STEPS_BY_TENSOR} steps, with a codec for each`,
    ),
    linkMatrix(links),
    barPlot(
      staleness.map(([updates, messages]) => ({ name: `${updates} updates`, value: messages })),
      "Messages by staleness",
    ),
  ];
  return `<div class="plots">${plots.map((plot) => `<div>${plot}</div>`).join("\n")}</div>`;
}

/** Bytes from each node (a row) to each other (a column), the darker the more. */
function linkMatrix(links: TrainingCurves["links"]): string {
  if (links.length === 0) return "<p><b>Bytes by link</b>: nobody sends anything.</p>";
  const nodes = [...new Set(links.flatMap(({ from, to }) => [from, to]))].sort((a, b) =>
    a.localeCompare(b, "en", { numeric: true }),
  );
  const most = Math.max(...links.map(({ bytes }) => bytes));
  const cell = (from: string, to: string): string => {
    const bytes = links.find((link) => link.from === from && link.to === to)?.bytes;
    if (bytes === undefined) return "<td></td>";
    const share = Math.round((60 * bytes) / most);
    return `<td style="background:color-mix(in srgb, #1f77b4 ${share}%, transparent)">${short(bytes)}</td>`;
  };
  const rows = nodes.map(
    (from) => `<tr><th>${escaped(from)}</th>${nodes.map((to) => cell(from, to)).join("")}</tr>`,
  );
  const head = nodes.map((to) => `<th>to ${escaped(to)}</th>`).join("");
  return `<p><b>Bytes by link</b></p><table><tr><th></th>${head}</tr>\n${rows.join("\n")}</table>`;
}
