import { clone, create } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../build-output/gen/google/rpc/error_details_pb.js";
import { ConventionSchema } from "../build-output/gen/opensciencearchive/v1/convention_pb.js";
import {
  type UploadFileRequest,
  UploadFileRequestSchema,
} from "../build-output/gen/opensciencearchive/v1/deposition_service_pb.js";
import type { HookDefinition } from "../build-output/gen/opensciencearchive/v1/hook_pb.js";
import { CONVENTION_ID, TABLE, type Traveller } from "./traveller.js";

/** The error of a call that must not succeed. */
export async function refusal(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("it was accepted");
}

/** The name of an error's code as all of gRPC spells it: Connect has FailedPrecondition, and Canceled with one L. */
export function codeOf({ code }: ConnectError): string {
  return code === Code.Canceled ? "CANCELLED" : Code[code].replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
}

/** What a program switches on, for example FEATURE_TABLE_CONFLICT. */
export function reasonOf(error: ConnectError): string | undefined {
  return error.findDetails(ErrorInfoSchema)[0]?.reason;
}

/** The paths of what was wrong with a request. */
function fieldsOf(error: ConnectError): string[] {
  return error
    .findDetails(BadRequestSchema)
    .flatMap((detail) => detail.fieldViolations.map((violation) => violation.field))
    .sort();
}

/** Provokes errors and says how they are told apart. */
export async function errors(traveller: Traveller) {
  const provoked = {
    bad_name: () =>
      registerWithHook(traveller, (hook) => {
        hook.name = "Bad Name";
      }),
    unknown_column: () =>
      traveller.connection.features.queryFeatures({ featureTable: TABLE, filter: "no_such_column > 1" }),
    empty_oneof: () =>
      registerWithHook(traveller, (hook) => {
        hook.runtime = { case: undefined };
      }),
    // What a client of a newer contract would send: this is how it looks on the wire.
    unknown_arm: () =>
      registerWithHook(traveller, (hook) => {
        hook.runtime = { case: undefined };
        const config = new BinaryWriter().tag(1, WireType.LengthDelimited).string("main.nf").finish();
        const data = new BinaryWriter().bytes(config).finish();
        hook.$unknown = [{ no: 11, wireType: WireType.LengthDelimited, data }];
      }),
    unknown_field: () =>
      registerWithHook(traveller, (hook) => {
        if (hook.runtime.case !== "oci") throw new Error("the first hook does not run as a container");
        hook.runtime.value.$unknown = [{ no: 99, wireType: WireType.Varint, data: new Uint8Array([1]) }];
      }),
  };
  const seen: Record<string, object> = {};
  for (const [name, provoke] of Object.entries(provoked)) {
    const error = await refusal(provoke());
    seen[name] = { code: codeOf(error), reason: reasonOf(error), fields: fieldsOf(error) };
  }
  // A call that does not end by itself: a quick one might be answered within the shortest deadline (0 is none).
  const late = await refusal(traveller.connection.depositions.uploadFile(nothing(), { timeoutMs: 50 }));
  return {
    ...seen,
    expired_deadline: { code: codeOf(late) },
    cancelled: { code: codeOf(await cancelledUpload(traveller)) },
  };
}

async function registerWithHook(traveller: Traveller, change: (hook: HookDefinition) => void) {
  const changed = clone(ConventionSchema, traveller.convention);
  const [first] = changed.hooks;
  if (first) change(first);
  return traveller.connection.conventions.registerConvention({
    conventionId: CONVENTION_ID,
    convention: changed,
    validateOnly: true,
  });
}

/** Never has anything to send. */
async function* nothing(): AsyncIterable<UploadFileRequest> {
  await new Promise(() => {});
}

/** Begins an upload and thinks better of it. Nothing of the file is kept. */
async function cancelledUpload(traveller: Traveller): Promise<ConnectError> {
  const parent = await traveller.newDeposition();
  const call = new AbortController();
  async function* pieces(): AsyncIterable<UploadFileRequest> {
    yield create(UploadFileRequestSchema, {
      payload: { case: "header", value: { parent, fileName: "abandoned.cif" } },
    });
    yield create(UploadFileRequestSchema, { payload: { case: "chunk", value: Buffer.from("data_") } });
    call.abort();
  }
  return refusal(traveller.connection.depositions.uploadFile(pieces(), { signal: call.signal }));
}
