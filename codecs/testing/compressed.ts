import { seededRandom, type CodecClass, type CodecParameters } from "@psgd/core";
import { describeCodec, type DescribedCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { answerOf, Cluster, inEveryOrder, shuffled } from "./cluster.js";

/** What a compressed codec is to do. */
export interface CompressedSubject extends Pick<DescribedCodec, "allowed"> {
  readonly parameters?: CodecParameters;
  /**
   * What one vector of one tensor becomes, by another way than the codec's own; not asked where chance decides.
   */
  readonly decoded: (vector: readonly number[]) => readonly number[];
  /** Whether what is left out is added to the next vector. */
  readonly hasFeedback: boolean;
  /** Chance decides: then only what all nodes have in common is compared. */
  readonly isRandom?: boolean;
  /** Of the packet of one vector of `size` values in one tensor, without what the message around it takes. */
  readonly packetBytes?: (size: number) => number;
}

/** Declares the tests that all codecs of compressed gradients, peer to peer, share. */
export function describeCompressed(
  name: string,
  codec: CodecClass,
  subject: CompressedSubject,
): void {
  const { parameters = {}, decoded, hasFeedback, isRandom = false, packetBytes, allowed } = subject;
  const input = ({ block, step }: { block: number; step: number }): number[] => {
    const random = seededRandom(`block ${block}, step ${step}`);
    return Array.from({ length: 24 }, () => random.normal());
  };

  describe(name, () => {
    it("gives all nodes the same bits, in every order", () => {
      const outcomes = new Set<string>();
      inEveryOrder((pick) => {
        const cluster = new Cluster({ codec, nodeCount: 3, size: 24, parameters });
        for (const result of cluster.runStep(0, input, pick))
          outcomes.add(new Uint32Array(result!.buffer).join());
      });
      expect(outcomes.size).toBe(1);
    });

    if (!isRandom) {
      it("gives the mean of what each node's vectors become", () => {
        const cluster = new Cluster({ codec, nodeCount: 4, size: 24, parameters });
        const residuals = cluster.settings.nodes.map(() => new Array<number>(24).fill(0));
        for (let step = 0; step < 5; step++) {
          const seen = cluster.settings.nodes.map((node) => {
            const vector = input({ block: node, step }).map((value, i) =>
              Math.fround(Math.fround(value) + residuals[node][i]),
            );
            const sent = decoded(vector);
            if (hasFeedback)
              residuals[node] = vector.map((value, i) => Math.fround(value - sent[i]));
            return sent;
          });
          const results = cluster.runStep(step, input, shuffled(`step ${step}`));
          for (const result of results)
            for (const [i, value] of result!.entries())
              expect(value, `step ${step}, value ${i}`).toBeCloseTo(
                seen.reduce((sum, sent) => sum + sent[i] / 4, 0),
                5,
              );
        }
      });
    }

    it.each(["iid", "duplicate"] as const)(
      "counts each block once with redundancy 2 (%s)",
      (assignment) => {
        // Powers of two that all compressors keep: one value, the same everywhere.
        const cluster = new Cluster({
          codec,
          nodeCount: 4,
          redundancy: 2,
          assignment,
          size: 1,
          parameters,
        });
        const results = cluster.runStep(0, () => [0.5], shuffled("redundancy"));
        for (const result of results) expect([...result!]).toEqual([0.5]);
      },
    );

    if (packetBytes !== undefined) {
      it("sends the bytes that its header says", () => {
        for (const [nodeCount, size] of [
          [2, 1000],
          [4, 4099],
        ]) {
          const cluster = new Cluster({ codec, nodeCount, size, parameters });
          const random = seededRandom("bytes");
          cluster.runStep(0, () => Float32Array.from({ length: size }, () => random.normal()));
          expect(cluster.sent).toHaveLength(nodeCount * (nodeCount - 1));
          for (const { content } of cluster.sent) {
            const [, , packet] = content as [number, number, (Uint8Array | null)[]];
            const bytes = packet.reduce((sum, part) => sum + (part?.length ?? 0), 0);
            expect(bytes).toBe(packetBytes(size));
          }
        }
      });
    }

    it.each([
      [undefined, "expected a list of 3"],
      [[7, 0, [null, new Uint8Array(0)]], "node id: expected one of 3 ids from 0, got 7"],
      [[1, -1, [null, new Uint8Array(0)]], "step: expected a whole number from 0"],
      [[1, 1e9, [null, new Uint8Array(0)]], "step: expected a whole number from 0 to 99"],
      [[1, 0, [null, new Uint8Array(0)]], "WIRE_MALFORMED"],
      [[1, 0, new Float32Array(24)], "expected a list of 2"],
    ])("refuses malformed content %#", (content, text) => {
      const cluster = new Cluster({ codec, nodeCount: 3, size: 24, parameters });
      expect(() => answerOf(cluster.nodes[0], content)).toThrow(text);
    });
  });

  describeCodec(name, codec, {
    parameters,
    seedCount: 60,
    ...(allowed === undefined ? {} : { allowed }),
  });
}
