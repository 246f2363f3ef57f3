import { PsgdError, type GlobalSettings, type NodeId, type StepRole } from "@psgd/core";

/** Which steps make a round, and which clients take part in it: alike on clients and server. */
export class Rounds {
  readonly #settings: GlobalSettings;
  readonly #localSteps: number;
  readonly #clientCount: number;
  /** Of the round at hand and the next. */
  readonly #drawn = new Map<number, readonly NodeId[]>();

  constructor(settings: GlobalSettings) {
    this.#settings = settings;
    this.#localSteps = settings.param("local_steps", 150);
    if (!Number.isInteger(this.#localSteps) || this.#localSteps < 1) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `parameter \`local_steps\`: expected a whole number from 1, got ${this.#localSteps}; codec FedAvgClient; set it with \`--param local_steps=150\``,
      );
    }
    const fraction = settings.param("fraction", 1);
    if (!(fraction > 0 && fraction <= 1)) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `parameter \`fraction\`: expected a number more than 0 and at most 1, got ${fraction}; codec FedAvgClient; set it with \`--param fraction=0.1\``,
      );
    }
    this.#clientCount = Math.max(1, Math.round(fraction * settings.nodeCount));
  }

  /** Whether models are averaged in this step. Without a last round the nodes would end the job with a model each. */
  isEnd(step: number): boolean {
    return (step + 1) % this.#localSteps === 0 || step === this.#settings.stepCount - 1;
  }

  roleIn(step: number, node: NodeId): StepRole {
    if (this.clientsIn(step).includes(node)) return "train";
    if (!this.isEnd(step)) return "rest";
    const isLast = step === this.#settings.stepCount - 1;
    return isLast || this.#clientsOf(this.#roundOf(step) + 1).includes(node) ? "listen" : "rest";
  }

  /** The clients of the round that a step belongs to. */
  clientsIn(step: number): readonly NodeId[] {
    return this.#clientsOf(this.#roundOf(step));
  }

  #roundOf(step: number): number {
    return Math.floor(step / this.#localSteps);
  }

  #clientsOf(round: number): readonly NodeId[] {
    let clients = this.#drawn.get(round);
    if (clients !== undefined) return clients;
    clients = this.#settings.sampleNodes(round, this.#clientCount);
    if (this.#drawn.size === 2) this.#drawn.clear();
    this.#drawn.set(round, clients);
    return clients;
  }
}
