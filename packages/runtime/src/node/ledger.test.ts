import { PARAMETER_SERVER } from "@psgd/core";
import { expect, it } from "vitest";
import { Ledger, ledgerFile } from "./ledger.js";

const CODECS = [
  { codec: "TopK", tensor: "dense/kernel", values: 90 },
  { codec: "Plain", tensor: "dense/bias", values: 10 },
];

it("counts messages and bytes by link, direction and codec", () => {
  const ledger = new Ledger(CODECS);
  for (const bytes of [5, 7]) ledger.count("sent", 2, 0, bytes);
  ledger.count("sent", 2, 1, 3);
  ledger.count("received", 2, 0, 11);
  ledger.count("sent", PARAMETER_SERVER, 0, 1);
  // What no codec has sent, such as a greeting, a clock, or whatever a peer may make up.
  for (const codecIndex of [undefined, -1, 2, 0.5, 1e300, NaN, "length", null])
    ledger.count("sent", 2, codecIndex, 2);
  const entries = ledger.entries(new Map([[2, 1000]]));
  expect(new TextDecoder().decode(ledgerFile(1, entries)).trim().split("\n")).toEqual([
    "Codec,Tensor,From,To,Direction,Messages,Bytes,Values",
    "TopK,dense/kernel,node 1,parameter server,sent,1,1,90",
    ",control,node 1,node 2,sent,8,16,0",
    "TopK,dense/kernel,node 1,node 2,sent,2,12,90",
    "Plain,dense/bias,node 1,node 2,sent,1,3,10",
    "TopK,dense/kernel,node 2,node 1,received,1,11,90",
    ",overhead,node 1,node 2,sent,0,1000,0",
  ]);
});
