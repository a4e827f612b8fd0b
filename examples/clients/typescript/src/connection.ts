import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, type Interceptor, createClient } from "@connectrpc/connect";
import { Http2SessionManager, createGrpcTransport } from "@connectrpc/connect-node";
import { setTimeout as sleep } from "node:timers/promises";
import { ConventionService } from "../build-output/gen/opensciencearchive/v1/convention_service_pb.js";
import { DepositionService } from "../build-output/gen/opensciencearchive/v1/deposition_service_pb.js";
import { FeatureService } from "../build-output/gen/opensciencearchive/v1/feature_service_pb.js";
import { RunService } from "../build-output/gen/opensciencearchive/v1/run_service_pb.js";
import { ServerService } from "../build-output/gen/opensciencearchive/v1/server_service_pb.js";

/** One connection, and a client of each service over it. */
export interface Connection {
  server: Client<typeof ServerService>;
  conventions: Client<typeof ConventionService>;
  depositions: Client<typeof DepositionService>;
  runs: Client<typeof RunService>;
  features: Client<typeof FeatureService>;
  close(): void;
}

export function connect(address: string): Connection {
  const baseUrl = `http://${address}`;
  // A connection that broke without a word is noticed within 40 seconds, also in the middle of a long watch.
  const sessionManager = new Http2SessionManager(baseUrl, { pingIntervalMs: 30_000, pingTimeoutMs: 10_000 });
  const transport = createGrpcTransport({ baseUrl, sessionManager, interceptors: [readsAgain] });
  return {
    server: createClient(ServerService, transport),
    conventions: createClient(ConventionService, transport),
    depositions: createClient(DepositionService, transport),
    runs: createClient(RunService, transport),
    features: createClient(FeatureService, transport),
    close: () => sessionManager.abort(),
  };
}

/** Sends a read again when the server was not there to answer: the contract marks what has no side effects. */
const readsAgain: Interceptor = (next) => async (request) => {
  const read = request.method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
  for (let attempt = 1; ; attempt++) {
    try {
      return await next(request);
    } catch (error) {
      const gone = ConnectError.from(error).code === Code.Unavailable;
      if (!read || request.stream || !gone || attempt === 4) throw error;
      await sleep(100 * 2 ** attempt);
    }
  }
};
