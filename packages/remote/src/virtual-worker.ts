import type { Engine } from "@psgd/core";
import { channelPair } from "./channel.js";
import { PlanHost, type HostLimits } from "./plan-host.js";
import { RemoteWorker } from "./remote-worker.js";
import type { TensorValue } from "./tensor-value.js";

export interface VirtualWorkerOptions {
  readonly engine: Engine;
  /** What is there from the start, with its tags. */
  readonly data?: readonly (readonly [tensor: TensorValue, ...tags: string[]])[];
  readonly limits?: HostLimits;
}

/** A worker within this process, to try things: it behaves as one over a network, messages and all. */
export class VirtualWorker extends RemoteWorker {
  readonly host: PlanHost;

  constructor(name: string, { data = [], ...options }: VirtualWorkerOptions) {
    const [mine, theirs] = channelPair();
    super(name, mine);
    this.host = new PlanHost(options);
    this.host.serve(theirs);
    for (const [tensor, ...tags] of data) this.put(tensor, { tags });
  }
}
