import { describeCodec } from "@psgd/harness";
import { DummyCodec } from "../../codecs/dummy.js";
import { FedAvgClient } from "../../codecs/fedavg.js";
import { ParaAveragingServer, PSClient } from "../../codecs/naive_ps.js";
import { Plain } from "../../codecs/plain.js";
import { MyComCtrl } from "../../codecs/tutorial_codec.js";

// What the codecs of the project are made to do, as their headers say.

describeCodec("plain.Plain", Plain);
describeCodec("plain.Plain with redundancy", Plain, { redundancy: 2, nodeCount: 4 });
describeCodec("tutorial_codec.MyComCtrl", MyComCtrl);
describeCodec("fedavg.FedAvgClient", FedAvgClient, { parameters: { local_steps: 3 } });
describeCodec("fedavg.FedAvgClient", FedAvgClient, { sync: "asgd" });
describeCodec("fedavg.FedAvgClient with half of the clients", FedAvgClient, {
  parameters: { local_steps: 2, fraction: 0.5 },
  seedCount: 60,
});
describeCodec("naive_ps.PSClient", PSClient, { sync: "asgd", serverCodec: ParaAveragingServer });

const alone = "each node trains by itself: it is the measuring stick";
describeCodec("dummy.DummyCodec", DummyCodec, {
  allowed: {
    agreement: alone,
    mean: alone,
    contraction: alone,
    feedback: alone,
    convergence: alone,
  },
});
