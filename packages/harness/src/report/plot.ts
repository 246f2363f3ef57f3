/** One line of a plot. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface PlotOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** Whether x goes by powers of ten. */
  readonly isLogarithmic?: boolean;
}

const WIDTH = 520;
const HEIGHT = 300;
const LEFT = 64;
const RIGHT = WIDTH - 16;
const TOP = 34;
const BOTTOM = HEIGHT - 48;
const COLORS = ["#1f77b4", "#d62728", "#2ca02c"];

/** Lines over two axes, as inline SVG. */
export function linePlot(series: readonly Series[], options: PlotOptions): string {
  const { title, xLabel, yLabel, isLogarithmic = false } = options;
  const visible = series.map(({ name, points }) => ({
    name,
    points: points
      .filter(([x]) => !isLogarithmic || x > 0)
      .map(([x, y]): [number, number] => [isLogarithmic ? Math.log10(x) : x, y]),
  }));
  const all = visible.flatMap(({ points }) => points);
  const [x0, x1] = rangeOf(all.map(([x]) => x));
  const [y0, y1] = rangeOf(all.map(([, y]) => y));
  const px = (x: number): string => (LEFT + ((x - x0) / (x1 - x0)) * (RIGHT - LEFT)).toFixed(1);
  const py = (y: number): string => (BOTTOM - ((y - y0) / (y1 - y0)) * (BOTTOM - TOP)).toFixed(1);
  const ticks = [0, 1, 2, 3, 4].map((i) => i / 4);
  const grid = ticks.flatMap((part) => {
    const x = x0 + part * (x1 - x0);
    const y = y0 + part * (y1 - y0);
    return [
      `<line x1="${px(x)}" x2="${px(x)}" y1="${TOP}" y2="${BOTTOM}" class="grid"/>`,
      `<text x="${px(x)}" y="${BOTTOM + 16}" text-anchor="middle">${short(isLogarithmic ? 10 ** x : x)}</text>`,
      `<line x1="${LEFT}" x2="${RIGHT}" y1="${py(y)}" y2="${py(y)}" class="grid"/>`,
      `<text x="${LEFT - 6}" y="${py(y)}" text-anchor="end">${short(y)}</text>`,
    ];
  });
  const lines = visible.flatMap(({ name, points }, index) => {
    const color = COLORS[index % COLORS.length]!;
    const path = points.map(([x, y]) => `${px(x)} ${py(y)}`).join("L");
    return [
      `<path d="M${path}" fill="none" stroke="${color}" stroke-width="2"><title>${escaped(name)}</title></path>`,
      `<text x="${RIGHT}" y="${BOTTOM - 8 - 14 * index}" text-anchor="end" style="fill:${color}">${escaped(name)}</text>`,
    ];
  });
  return svg(title, HEIGHT, [
    ...grid,
    ...lines,
    `<text x="${(LEFT + RIGHT) / 2}" y="${HEIGHT - 10}" text-anchor="middle">${escaped(xLabel)}</text>`,
    `<text x="14" y="${HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 ${HEIGHT / 2})">${escaped(yLabel)}</text>`,
  ]);
}

/** Bars below one another, as inline SVG. */
export function barPlot(
  bars: readonly { readonly name: string; readonly value: number }[],
  title: string,
): string {
  const largest = Math.max(1e-12, ...bars.map(({ value }) => value));
  const rows = bars.flatMap(({ name, value }, index) => {
    const y = 28 + 22 * index;
    const width = ((WIDTH - 270) * value) / largest;
    return [
      `<text x="180" y="${y + 12}" text-anchor="end">${escaped(name)}</text>`,
      `<rect x="188" y="${y}" width="${width.toFixed(1)}" height="16" fill="${COLORS[0]}"><title>${escaped(`${name}: ${value}`)}</title></rect>`,
      `<text x="${(194 + width).toFixed(1)}" y="${y + 12}">${short(value)}</text>`,
    ];
  });
  return svg(title, 34 + 22 * bars.length, rows);
}

/** Text as HTML shows it. */
export function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

function svg(title: string, height: number, content: readonly string[]): string {
  const label = escaped(title);
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${label}"><text x="8" y="18" class="title">${label}</text>\n${content.join("\n")}</svg>`;
}

function rangeOf(values: readonly number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/** Three digits and a prefix. */
export function short(value: number): string {
  const prefix = ["", "k", "M", "G"].findIndex(
    (_, i) => Math.abs(value) < 1000 ** (i + 1) || i === 3,
  );
  return `${Number((value / 1000 ** prefix).toPrecision(3))}${["", "k", "M", "G"][prefix]}`;
}
