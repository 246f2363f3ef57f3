export { CHUNK_BYTES, MAX_FRAME_BYTES } from "./frame-rules.js";
export { MemoryNetwork } from "./memory/memory-network.js";
export { memoryTransportOverPort } from "./memory/port-transport.js";
export { connectNats, type NatsOptions } from "./nats/connect-nats.js";
export { faulty, type FaultCounts, type Faults } from "./faulty.js";
export { LinkEndpoint, type LinkEndpointOptions } from "./link/link-endpoint.js";
export type { Link } from "./link/link.js";
