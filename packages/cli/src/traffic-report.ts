import { nodeName } from "@psgd/core";
import type { NodeRecord } from "@psgd/runtime";
import { table } from "./table.js";

/** What the codecs of a job sent, summed over its nodes. */
export interface Traffic {
  /** Steps of the node that took most. */
  readonly steps: number;
  /** By codec and tensor; links' own bytes have neither. */
  readonly codecs: readonly CodecTraffic[];
  /** By link, sender first: bytes of codecs' messages. */
  readonly links: readonly { readonly from: number; readonly to: number; readonly bytes: number }[];
  /** Headers, acknowledgements and repetitions of all links. */
  readonly overheadBytes: number;
}

interface CodecTraffic {
  readonly codec: string;
  readonly tensor: string;
  readonly messages: number;
  readonly bytes: number;
  /** What the same messages would take with every value in fp32. */
  readonly denseBytes: number;
}

/** Sums up the ledgers of a job. */
export function trafficOf(records: readonly NodeRecord[]): Traffic {
  const codecs = new Map<string, CodecTraffic>();
  const links: { from: number; to: number; bytes: number }[] = [];
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
      const sum = codecs.get(`${codec}/${tensor}`);
      codecs.set(`${codec}/${tensor}`, {
        codec,
        tensor,
        messages: (sum?.messages ?? 0) + messages,
        bytes: (sum?.bytes ?? 0) + bytes,
        denseBytes: (sum?.denseBytes ?? 0) + 4 * values * messages,
      });
    }
    for (const [to, bytes] of byPeer) links.push({ from: nodeId, to, bytes });
  }
  links.sort((a, b) => b.bytes - a.bytes || a.from - b.from || a.to - b.to);
  return { steps, codecs: [...codecs.values()], links, overheadBytes };
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
      ...codecs.map(({ codec, tensor, messages, bytes, denseBytes }) => [
        codec,
        tensor === "" ? "all" : tensor,
        String(messages),
        String(bytes),
        perStep(bytes),
        denseBytes === 0 ? "" : `${((100 * bytes) / denseBytes).toPrecision(3)} %`,
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
  return `Sent, over all nodes:\n${byCodec}\n${byLink}`;
}
