import { nodeName, type NodeId } from "@psgd/core";
import type { NodeProgress } from "@psgd/runtime";

/** Shows how far the nodes of a job are. */
export interface LiveDisplay {
  update(nodeId: NodeId, progress: NodeProgress): void;
  /** Lets other text be written, above what is shown. */
  print(line: string): void;
  close(): void;
}

const BAR_WIDTH = 20;
/** Without a terminal a line per node and so long is enough. */
const PLAIN_INTERVAL_MS = 5_000;

/** A block of lines, one per node, redrawn in place on a terminal; without one, a line now and then. */
export function liveDisplay(output: NodeJS.WriteStream, now: () => number): LiveDisplay {
  return output.isTTY ? terminalDisplay(output) : plainDisplay(output, now);
}

function terminalDisplay(output: NodeJS.WriteStream): LiveDisplay {
  const lines = new Map<NodeId, string>();
  let shown = 0;
  const clear = (): void => {
    if (shown > 0) output.write(`\x1b[${shown}A\x1b[J`);
    shown = 0;
  };
  const draw = (): void => {
    const text = [...lines]
      .sort(([a], [b]) => a - b)
      .map(([, line]) => line.slice(0, Math.max(20, (output.columns || 120) - 1)));
    for (const line of text) output.write(`${line}\n`);
    shown = text.length;
  };
  return {
    update(nodeId, progress) {
      lines.set(nodeId, progressLine(nodeId, progress, true));
      clear();
      draw();
    },
    print(line) {
      clear();
      output.write(`${line}\n`);
      draw();
    },
    close() {
      shown = 0;
    },
  };
}

function plainDisplay(output: NodeJS.WriteStream, now: () => number): LiveDisplay {
  const shownAt = new Map<NodeId, number>();
  return {
    update(nodeId, progress) {
      const isLast = progress.step === progress.stepCount;
      if (!isLast && now() - (shownAt.get(nodeId) ?? -Infinity) < PLAIN_INTERVAL_MS) return;
      shownAt.set(nodeId, now());
      output.write(`${progressLine(nodeId, progress, false)}\n`);
    },
    print: (line) => output.write(`${line}\n`),
    close: () => {},
  };
}

function progressLine(nodeId: NodeId, progress: NodeProgress, hasBar: boolean): string {
  const {
    epoch,
    epochs,
    step,
    stepCount,
    loss,
    accuracy,
    samplesPerSec,
    bytesSent,
    bytesReceived,
  } = progress;
  const part = step / stepCount;
  const filled = Math.round(part * BAR_WIDTH);
  return [
    nodeName(nodeId).padEnd(7),
    ...(hasBar ? [`[${"#".repeat(filled)}${".".repeat(BAR_WIDTH - filled)}]`] : []),
    `${Math.floor(part * 100)}%`.padStart(4),
    `epoch ${epoch}/${epochs}`,
    `step ${step}/${stepCount}`,
    `loss ${loss === undefined ? "-" : loss.toFixed(4)}`,
    ...(accuracy === undefined ? [] : [`accuracy ${accuracy.toFixed(3)}`]),
    `${Math.round(samplesPerSec)} samples/s`,
    `out ${bytesText(bytesSent)} in ${bytesText(bytesReceived)}`,
  ].join("  ");
}

/** Bytes with a unit, three digits. */
export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]!}`;
}
