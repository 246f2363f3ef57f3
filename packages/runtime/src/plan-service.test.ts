import { SILENT, seededRandom } from "@psgd/core";
import { LinkEndpoint, MemoryNetwork, type Link } from "@psgd/transport";
import { afterEach, describe, expect, it } from "vitest";
import { PlanService } from "./plan-service.js";
import { systemClock } from "./system/system-clock.js";
import type { WorkerReply } from "./worker-protocol.js";

describe("the plans of a worker", () => {
  const endpoints: LinkEndpoint[] = [];
  afterEach(() => Promise.all(endpoints.splice(0).map((endpoint) => endpoint.close())));

  it("run in a new process for a caller that comes while the last one's is ending", async () => {
    const network = new MemoryNetwork();
    const endpoint = async (
      address: string,
      onLink: (link: Link) => void,
    ): Promise<LinkEndpoint> => {
      const opened = await LinkEndpoint.open({
        ...{ transport: network.connect(), clock: systemClock, random: seededRandom(address) },
        ...{ address, log: SILENT, onLink },
      });
      endpoints.push(opened);
      return opened;
    };
    const exits: ((reason: string) => void)[] = [];
    const service = new PlanService({
      address: "plans",
      log: SILENT,
      start: (_address, onExit) => {
        exits.push(onExit);
        return { ready: Promise.resolve(), stop: () => {} };
      },
    });
    await endpoint("caller", () => {});
    const worker = await endpoint("worker", () => {});
    const [first, second] = ["caller", "other"].map((address) => worker.connect(address));
    const other = await endpoint("other", () => {});
    const said: WorkerReply[] = [];
    other.connect("worker").onMessage((value) => said.push(value as WorkerReply));

    await service.attach(first!);
    service.forget(first!);
    // It was asked to stop, and has not ended yet.
    await service.attach(second!);
    exits[0]!("it was asked to stop");
    await second!.flush();
    expect(exits.length).toBe(2);
    expect(said).toEqual([{ type: "plansReady", address: "plans.1" }]);
  });
});
