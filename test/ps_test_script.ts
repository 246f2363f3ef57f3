/*
 * Tests a codec and its parameter server's, without a cluster. The nodes may also talk to each other.
 *
 *   npm run test:ps                                             what is defined below
 *   npm run test:ps -- --codec naive_ps.PSClient --sync asgd    another codec, with the server it declares
 *   npm run test:ps -- --help                                   all options, and what is checked
 *
 * To debug a codec from an IDE, run `npm run build` and start test/dist/ps_test_script.js under its Node.js debugger:
 * breakpoints in codecs/*.ts hold, and codecs are compiled anew at each start.
 */
import { testCodecMain } from "@psgd/cli";

// --------------- DEFINE HERE ---------------
/** FILE.CLASS: a file of codecs/, or any path. */
const SLAVE_CODEC = "fedavg.FedAvgClient";
const MASTER_CODEC = "fedavg.FedAvgServer";
/** "iid" or "duplicate". */
const ASSIGNMENTS = "duplicate";
const SLAVE_CNT = 4;
const REDUNDANCY = 1;
const TEST_ROUNDS = 10;
/** One shape for each tensor of the model. */
const WEIGHTS_SHAPES = [[64, 31], [31]];
/** "ssgd" or "asgd". */
const SYNC = "ssgd";
/** Orders of computing and arriving that are tried. */
const SCHEDULES = 5;
const SEED = 1;
/** Milliseconds that one call of the codec may take. */
const CODEC_TIMEOUT_MS = 1000;
const PARAMETERS = {};
// --------------- DEFINE HERE ---------------

await testCodecMain({
  command: "npm run test:ps",
  slaveCodec: SLAVE_CODEC,
  masterCodec: MASTER_CODEC,
  assignment: ASSIGNMENTS,
  nodeCount: SLAVE_CNT,
  redundancy: REDUNDANCY,
  rounds: TEST_ROUNDS,
  weightsShapes: WEIGHTS_SHAPES,
  sync: SYNC,
  schedules: SCHEDULES,
  seed: SEED,
  codecTimeoutMs: CODEC_TIMEOUT_MS,
  parameters: PARAMETERS,
});
