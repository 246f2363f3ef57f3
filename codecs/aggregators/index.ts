export * from "./aggregator.js";
export * from "./named.js";
