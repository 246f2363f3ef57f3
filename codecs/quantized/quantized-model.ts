import { QuantizedClient } from "./answering-server.js";

/** A client whose answers are the model itself. */
export abstract class QuantizedModelClient extends QuantizedClient {
  static override readonly returns = "displacement";

  /** The weights that the job began with, which displacements are counted from. */
  #initial: Float32Array | undefined;

  override updateBlocks(
    ...block: Parameters<QuantizedClient["updateBlocks"]>
  ): ReturnType<QuantizedClient["updateBlocks"]> {
    this.#initial ??= this.weights.slice();
    return super.updateBlocks(...block);
  }

  protected override resultOf(model: Float32Array): Float32Array {
    for (let i = 0; i < model.length; i++) model[i] -= this.#initial![i];
    return model;
  }

  override exportState(): unknown {
    return this.#initial?.slice();
  }

  override importState(state: unknown): void {
    this.#initial = state as Float32Array | undefined;
  }
}
