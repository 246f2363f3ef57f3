import { ASSIGNMENTS, PARAMETER_SERVER, nodeName } from "@psgd/core";
import type { NodeRecord } from "@psgd/runtime";
import { fp32BytesPerStep } from "@psgd/sgd";
import { table } from "./table.js";

/** What shares of bytes are of. */
export const FP32_TRAFFIC =
  "Of fp32: beside sending every block in fp32 in each step, peer to peer to all who lack it, with a server to it and back.";

/** What the codecs of a job sent, summed over its nodes. */
export interface Traffic {
  /** Steps of the node that took most. */
  readonly steps: number;
  /** By codec and tensor; what no codec sends has neither. */
  readonly codecs: readonly CodecTraffic[];
  /** By link, sender first: bytes of codecs' messages. */
  readonly links: readonly { readonly from: number; readonly to: number; readonly bytes: number }[];
  /** Of no codec: control messages, and headers, acknowledgements and repetitions of all links. */
  readonly overheadBytes: number;
}

interface CodecTraffic {
  readonly codec: string;
  readonly tensor: string;
  readonly messages: number;
  readonly bytes: number;
  /** What the same nodes would have sent of the tensor if they had sent all of it in fp32 in each step. */
  readonly fp32Bytes: number;
}

/** Sums up the ledgers of a job. */
export function trafficOf(records: readonly NodeRecord[]): Traffic {
  const codecs = new Map<string, CodecSum>();
  const links: { from: number; to: number; bytes: number }[] = [];
  const tensorsOfServer = new Set<string>();
  let steps = 0;
  let overheadBytes = 0;
  for (const { nodeId, summary } of records) {
    if (summary === undefined) continue;
    steps = Math.max(steps, summary.steps);
    const byPeer = new Map<number, number>();
    for (const { codec, tensor, peer, direction, messages, bytes, values } of summary.ledger) {
      if (direction === "received") continue;
      if (codec === "") {
        overheadBytes += bytes;
        continue;
      }
      byPeer.set(peer, (byPeer.get(peer) ?? 0) + bytes);
      if (peer === PARAMETER_SERVER) tensorsOfServer.add(tensor);
      const key = `${codec}/${tensor}`;
      const sum = codecs.get(key) ?? {
        codec,
        tensor,
        values,
        messages: 0,
        bytes: 0,
        sides: new Set(),
      };
      codecs.set(key, sum);
      sum.messages += messages;
      sum.bytes += bytes;
      sum.sides.add(nodeId === PARAMETER_SERVER ? "server" : "workers");
    }
    for (const [to, bytes] of byPeer) links.push({ from: nodeId, to, bytes });
  }
  links.sort((a, b) => b.bytes - a.bytes || a.from - b.from || a.to - b.to);
  const fp32Bytes = ({ tensor, values, sides }: CodecSum): number => {
    const { spec } = records[0]!;
    const hasServer = tensorsOfServer.has(tensor);
    const all =
      steps * fp32BytesPerStep(values, ASSIGNMENTS[spec.blockAssignment](spec), hasServer);
    // Half of it goes to the server, half comes from it.
    return hasServer ? (all * sides.size) / 2 : all;
  };
  return {
    steps,
    codecs: [...codecs.values()].map((sum) => {
      const { codec, tensor, messages, bytes } = sum;
      return { codec, tensor, messages, bytes, fp32Bytes: fp32Bytes(sum) };
    }),
    links,
    overheadBytes,
  };
}

interface CodecSum {
  readonly codec: string;
  readonly tensor: string;
  readonly values: number;
  messages: number;
  bytes: number;
  /** Who has sent. */
  readonly sides: Set<"workers" | "server">;
}

/** Links that are listed; the others are summed up. */
const LISTED_LINKS = 6;

/** The traffic as tables for people; nothing where nobody sent anything. */
export function trafficReport({ steps, codecs, links, overheadBytes }: Traffic): string {
  if (codecs.length === 0) return "";
  const perStep = (bytes: number): string => Math.round(bytes / Math.max(1, steps)).toString();
  const byCodec = table(
    ["CODEC", "TENSOR", "MESSAGES", "BYTES", "PER STEP", "OF FP32"],
    [
      ...codecs.map(({ codec, tensor, messages, bytes, fp32Bytes }) => [
        codec,
        tensor === "" ? "all" : tensor,
        String(messages),
        String(bytes),
        perStep(bytes),
        fp32Bytes === 0 ? "" : `${((100 * bytes) / fp32Bytes).toPrecision(3)} %`,
      ]),
      ["links", "", "", String(overheadBytes), perStep(overheadBytes), ""],
    ],
  );
  const rest = links.slice(LISTED_LINKS);
  const byLink = table(
    ["LINK", "BYTES", "PER STEP"],
    [
      ...links
        .slice(0, LISTED_LINKS)
        .map(({ from, to, bytes }) => [
          `${nodeName(from)} to ${nodeName(to)}`,
          String(bytes),
          perStep(bytes),
        ]),
      ...(rest.length === 0
        ? []
        : [[`${rest.length} more`, String(rest.reduce((sum, { bytes }) => sum + bytes, 0)), ""]]),
    ],
  );
  return `Sent, over all nodes:\n${byCodec}${FP32_TRAFFIC}\n\n${byLink}`;
}
