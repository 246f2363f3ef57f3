export { VirtualClock } from "./virtual-clock.js";
export {
  describeDirectory,
  describeTransport,
  type DirectorySetup,
  type TransportSetup,
} from "./transport-contract.js";
