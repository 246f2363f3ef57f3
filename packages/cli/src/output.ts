import { nodeName, toErrorRecord, type Logger, type NodeId } from "@psgd/core";
import {
  lineLogger,
  logFile,
  systemClock,
  type JobOutcome,
  type JobSpec,
  type NodeProgress,
  type NodeRecord,
} from "@psgd/runtime";
import { bytesText, liveDisplay } from "./live-display.js";
import type { SavedResults } from "./save-results.js";
import { trafficOf, trafficReport } from "./traffic-report.js";

/** What a submitter tells its user: as text that is also logged, or as one JSON value a line. */
export interface Output {
  readonly log: Logger;
  submitted(jobId: string, spec: JobSpec): void;
  progress(nodeId: NodeId, progress: NodeProgress): void;
  endProgress(): void;
  ended(record: NodeRecord): void;
  detached(jobId: string): void;
  finished(outcome: JobOutcome, saved: SavedResults): void;
  close(): Promise<void>;
}

/** Text for people: the seed's lines, and the live display. */
export function textOutput(logDirectory: string): Output {
  const stamp = systemClock
    .wallTime()
    .toISOString()
    .slice(0, 19)
    .replace("T", "_")
    .replaceAll(":", "-");
  const file = logFile(logDirectory, `P-SGD Submit @ ${stamp}_${process.pid}.log`);
  const display = liveDisplay(process.stdout, () => systemClock.now());
  const log = lineLogger("User Submit", systemClock, (line) => {
    display.print(line);
    file.write(line);
  });
  return {
    log,
    submitted: (jobId) => log.info(`Group submission complete (job ${jobId}).`),
    progress: (nodeId, progress) => display.update(nodeId, progress),
    endProgress: () => display.close(),
    ended: ({ nodeId, state, error, summary }) => {
      if (error !== undefined) log.error(`${nodeName(nodeId)} ${state}: ${error.message}`);
      else log.info(`Node(${nodeId}) is done${evaluationText(summary?.evaluation)}.`);
    },
    detached: (jobId) => {
      log.info(
        `The job goes on. Bring its results home with \`job-submit --retrieve ${jobId}\`, call it off with \`job-submit --cancel ${jobId}\`.`,
      );
    },
    finished: (outcome, saved) => {
      if (outcome.error === undefined) log.info("All the tasks are done.");
      for (const { nodeId, summary } of outcome.records) {
        if (summary === undefined) continue;
        log.info(
          `${nodeName(nodeId)}: ${summary.steps} steps in ${(summary.elapsedMs / 1000).toFixed(1)} s${evaluationText(summary.evaluation)}, ` +
            `sent ${bytesText(summary.bytesSent)}, received ${bytesText(summary.bytesReceived)}`,
        );
      }
      const report = trafficReport(trafficOf(outcome.records));
      for (const line of report.split("\n").filter((text) => text !== "")) log.info(line);
      if (saved.model !== undefined) log.info(`Model: ${saved.model}/`);
      log.info(`Manifest: ${saved.manifest}`);
    },
    close: () => file.close(),
  };
}

/** One JSON value a line on stdout, for programs; nothing else goes there. */
export function jsonOutput(): Output {
  const write = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
  const say =
    (level: string) =>
    (message: string): void =>
      write({ type: "log", level, message });
  return {
    log: { info: say("info"), warn: say("warn"), error: say("error") },
    submitted: (jobId, spec) => write({ type: "submitted", jobId, spec }),
    progress: (nodeId, progress) => write({ type: "progress", nodeId, ...progress }),
    endProgress: () => {},
    ended: ({ nodeId, state, summary, error }) =>
      write({
        type: "ended",
        nodeId,
        state,
        summary,
        error: error && { code: error.code, message: error.message },
      }),
    detached: (jobId) => write({ type: "detached", jobId }),
    finished: ({ jobId, records, error }, saved) =>
      write({
        type: "finished",
        jobId,
        error:
          error === undefined
            ? undefined
            : { code: error.code, message: toErrorRecord(error).message },
        nodes: records.map(({ nodeId, state, summary }) => ({ nodeId, state, summary })),
        traffic: trafficOf(records),
        ...saved,
      }),
    close: async () => {},
  };
}

function evaluationText(
  evaluation: { readonly loss: number; readonly accuracy: number | undefined } | undefined,
): string {
  if (evaluation === undefined) return "";
  const accuracy =
    evaluation.accuracy === undefined ? "" : `, accuracy: ${evaluation.accuracy.toFixed(4)}`;
  return `, Loss: ${evaluation.loss.toFixed(4)}${accuracy}`;
}
