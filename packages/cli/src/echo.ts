import type { JobSpec } from "@psgd/runtime";

/** The parameters of a job, in the seed's own words. */
export function echoLines(spec: JobSpec): string[] {
  return [
    `--node_count <node count ${spec.nodeCount}>`,
    `--batch_size <batch size ${spec.batchSize}>`,
    `--redundancy <r ${spec.redundancy}>`,
    `--codec <communication codec and protocol ${spec.codec}>`,
    `--optimizer <optimizer for model training ${spec.optimizer}>`,
    `--parallel_sgd <parallel_computing stochastic gradient descent synchronization type ${spec.sync}>`,
    `--learn_rate <learn rate for GD algorithm ${spec.learningRate}>`,
    `--epochs <training epochs ${spec.epochs}>`,
    `--block_assignment <block assignment strategy ${spec.blockAssignment}>`,
    // "sgq" is the seed's unused default where a job has no parameter server.
    `--server_codec <parameter server codec ${spec.serverCodec ?? "sgq"}>`,
  ];
}
