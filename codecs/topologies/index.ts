export * from "./topology.js";
export * from "./shapes.js";
export * from "./named.js";
export * from "./routes.js";
export * from "./mixing.js";
