/**
 * The program of one node's process. Standard input brings one JSON value a line: first what to run, then commands;
 * events go out over descriptor 3. When the input ends the daemon is gone, and so is its node.
 */
import { createWriteStream } from "node:fs";
import { createInterface } from "node:readline";
import { PsgdError, fromErrorRecord, nodeName, toErrorRecord } from "@psgd/core";
import {
  runNode,
  type NodeCommand,
  type NodeControl,
  type NodeEvent,
  type NodeProcessSpec,
} from "@psgd/runtime";
import { connectCluster, nodeWorld } from "./compose.js";
import { startWatchdog } from "./node-watchdog.js";

/** What a worker tells its node processes about the world. */
export interface NodeProcessConfig {
  readonly natsUrl: string;
  readonly workDirectory: string;
}

const events = createWriteStream("", { fd: 3 });
// A daemon that is gone does not read; the end of the input says so.
events.on("error", () => {});
const emit = (event: NodeEvent): void => void events.write(`${JSON.stringify(event)}\n`);

const abort = new AbortController();
let start!: () => void;
const started = new Promise<void>((resolve) => {
  start = resolve;
});
const control: NodeControl = { emit, started, signal: abort.signal };

const lines = createInterface({ input: process.stdin });
let running: Promise<void> | undefined;
let nodeId = 0;
lines.on("line", (line) => {
  if (running === undefined) {
    const spec = JSON.parse(line) as NodeProcessSpec<NodeProcessConfig>;
    nodeId = spec.assignment.nodeId;
    startWatchdog(nodeId, spec.assignment.spec.codecTimeoutMs);
    running = run(spec);
    return;
  }
  const command = JSON.parse(line) as NodeCommand;
  if (command.type === "start") start();
  else abort.abort(fromErrorRecord(command.error));
});
lines.on("close", () => {
  abort.abort(
    new PsgdError(
      "NODE_LOST",
      `${nodeName(nodeId)}: expected its worker to see the job through, got its end; start it again, and submit the job again`,
      { details: { node: nodeId } },
    ),
  );
});
// An error nobody awaited is a bug of the codec or ours; the daemon hears it before the process goes.
process.on("uncaughtException", (error) => fail(error));
process.on("unhandledRejection", (error) => fail(error));

async function run({ assignment, config }: NodeProcessSpec<NodeProcessConfig>): Promise<void> {
  try {
    const { transport } = await connectCluster(
      config.natsUrl,
      `job ${assignment.jobId} ${nodeName(assignment.nodeId)}`,
    );
    await runNode(
      assignment,
      nodeWorld({ transport, workDirectory: config.workDirectory }),
      control,
    );
    await transport.close();
  } catch (error) {
    emit({ type: "failed", error: toErrorRecord(error) });
  }
  exit(0);
}

function fail(error: unknown): void {
  const record = toErrorRecord(error);
  const cause = new PsgdError(
    "CODEC_THREW",
    `an error nobody caught: ${record.message}; ${nodeName(nodeId)}`,
    { details: { node: nodeId }, cause: error },
  );
  if (running === undefined) exit(1);
  abort.abort(cause);
}

function exit(code: number): void {
  events.end(() => process.exit(code));
}
