import { Codec, type CodecClass } from "@psgd/core";
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Cluster, shuffled } from "./testing/cluster.js";

const FILES = readdirSync(import.meta.dirname).filter((name) => /^[a-z0-9_]+\.ts$/.test(name));

/** The classes of a file that compute blocks: all but servers. */
async function codecsOf(file: string): Promise<CodecClass[]> {
  const url = new URL(file.replace(/\.ts$/, ".js"), import.meta.url).href;
  const module = (await import(/* @vite-ignore */ url)) as Record<string, CodecClass>;
  const base: object = Codec.prototype;
  return Object.values(module).filter(
    ({ prototype }) =>
      prototype instanceof Codec &&
      Reflect.get(prototype, "updateBlocks") !== Reflect.get(base, "updateBlocks"),
  );
}

describe.each(FILES)("%s", (file) => {
  it("leaves a state alone that it was given, and what it gave away", async () => {
    for (const codec of await codecsOf(file)) {
      const create = (): Cluster =>
        new Cluster({
          ...{ codec, nodeCount: 3, size: 8, parameters: { local_steps: 1 } },
          ...(codec.server && { server: codec.server }),
        });
      const codecsOfJob = ({ nodes, server }: Cluster): Codec[] => [
        ...nodes,
        ...(server ? [server] : []),
      ];
      const run = (cluster: Cluster, first: number): void => {
        for (const step of [first, first + 1])
          cluster.runStep(
            step,
            ({ node }) => new Float32Array(8).fill(node + step + 1),
            shuffled(file),
          );
      };
      const [saved, resumed] = [create(), create()];
      run(saved, 0);
      const states = codecsOfJob(saved).map((each) => each.exportState());
      const before = structuredClone(states);
      for (const [i, each] of codecsOfJob(resumed).entries())
        if (states[i] !== undefined) each.importState(states[i]);
      run(resumed, 2);
      run(saved, 2);
      expect(states, codec.name).toEqual(before);
    }
  });
});
