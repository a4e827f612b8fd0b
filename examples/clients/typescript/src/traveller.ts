import { type DescEnum, type JsonObject, clone, create, fromJson } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  type Convention,
  ConventionSchema,
  ConventionStateSchema,
} from "../build-output/gen/opensciencearchive/v1/convention_pb.js";
import {
  type UploadFileRequest,
  UploadFileRequestSchema,
} from "../build-output/gen/opensciencearchive/v1/deposition_service_pb.js";
import { FeatureTableConflictSchema } from "../build-output/gen/opensciencearchive/v1/error_details_pb.js";
import type { Value } from "../build-output/gen/opensciencearchive/v1/feature_pb.js";
import { JsonType } from "../build-output/gen/opensciencearchive/v1/hook_pb.js";
import { RunStateSchema } from "../build-output/gen/opensciencearchive/v1/run_pb.js";
import { connect } from "./connection.js";
import { codeOf, reasonOf, refusal } from "./errors.js";

export const CONVENTION_ID = "pdb-structures";
export const TABLE = "featureTables/chains";
const CHUNK_BYTES = 64 * 1024;

/** Carries along the road what later steps need of earlier ones. */
export class Traveller {
  readonly convention: Convention;
  connection;
  run = "";
  resumeToken = "";
  #conventionName = "";
  #deposition = "";
  #file = "";

  constructor(
    readonly address: string,
    readonly structure: string,
    conventionFile: string,
  ) {
    this.convention = fromJson(ConventionSchema, JSON.parse(readFileSync(conventionFile, "utf8")));
    this.connection = connect(address);
  }

  async serverInfo() {
    const { serverInfo } = await this.connection.server.getServerInfo({});
    return {
      runtimes: serverInfo?.runtimes,
      feature_kinds: serverInfo?.featureKinds,
      container_contracts: serverInfo?.containerContracts,
    };
  }

  async validateOnly() {
    const answer = await this.connection.conventions.registerConvention({
      conventionId: CONVENTION_ID,
      convention: this.convention,
      validateOnly: true,
    });
    const name = answer.convention?.name;
    try {
      await this.connection.conventions.getConvention({ name });
    } catch (error) {
      if (ConnectError.from(error).code !== Code.NotFound) throw error;
      return { name, stored: false };
    }
    return { name, stored: true };
  }

  async register() {
    const answer = await this.connection.conventions.registerConvention({
      conventionId: CONVENTION_ID,
      convention: this.convention,
    });
    let registered = answer.convention;
    this.#conventionName = registered?.name ?? "";
    // Its tables are being made. The stream ends once it is READY or FAILED.
    for await (const next of this.connection.conventions.watchConvention({ name: this.#conventionName })) {
      registered = next.convention;
    }
    return {
      name: registered?.name,
      state: nameOf(ConventionStateSchema, registered?.state),
      feature_tables: registered?.featureTables,
    };
  }

  async registerAgain() {
    const { convention } = await this.connection.conventions.registerConvention({
      conventionId: CONVENTION_ID,
      convention: this.convention,
    });
    return {
      same_name: convention?.name === this.#conventionName,
      state: nameOf(ConventionStateSchema, convention?.state),
    };
  }

  async conflict() {
    const other = clone(ConventionSchema, this.convention);
    other.name = "";
    other.version = "2.0.0";
    const chains = other.hooks.find((hook) => hook.name === "chains");
    if (chains?.feature.case === "table") {
      for (const column of chains.feature.value.columns) {
        if (column.name === "residue_count") column.jsonType = JsonType.STRING;
      }
    }
    const error = await refusal(
      this.connection.conventions.registerConvention({ conventionId: CONVENTION_ID, convention: other }),
    );
    const columns = error
      .findDetails(FeatureTableConflictSchema)
      .flatMap((conflict) => conflict.columns)
      .map(({ column, expected, found }) => ({ column, expected, found }));
    return { code: codeOf(error), reason: reasonOf(error), columns };
  }

  async upload() {
    const content = readFileSync(this.structure);
    this.#deposition = await this.newDeposition();
    const header = {
      parent: this.#deposition,
      fileName: basename(this.structure),
      sizeBytes: BigInt(content.length),
      sha256: sha256(content),
      mediaType: "chemical/x-mmcif",
    };
    async function* pieces(): AsyncIterable<UploadFileRequest> {
      yield create(UploadFileRequestSchema, { payload: { case: "header", value: header } });
      for (let start = 0; start < content.length; start += CHUNK_BYTES) {
        const chunk = content.subarray(start, start + CHUNK_BYTES);
        yield create(UploadFileRequestSchema, { payload: { case: "chunk", value: chunk } });
      }
    }
    const { file } = await this.connection.depositions.uploadFile(pieces());
    this.#file = file?.name ?? "";
    return { file_name: file?.fileName, size_bytes: Number(file?.sizeBytes), sha256: file?.sha256 };
  }

  /** Makes a draft with the structure's metadata. */
  async newDeposition(): Promise<string> {
    const entry = basename(this.structure).split(".")[0];
    const text = readFileSync(join(dirname(this.structure), "..", "metadata", `${entry}.json`), "utf8");
    const { deposition } = await this.connection.depositions.createDeposition({
      deposition: { convention: this.#conventionName, metadata: JSON.parse(text) as JsonObject },
    });
    return deposition?.name ?? "";
  }

  async submit() {
    const answer = await this.connection.depositions.submitDeposition({ name: this.#deposition });
    this.run = answer.run?.name ?? "";
    this.resumeToken = answer.resumeToken;
    return { state: nameOf(RunStateSchema, answer.run?.state) };
  }

  async log() {
    const pieces: Uint8Array[] = [];
    for await (const piece of this.connection.runs.readRunLog({ name: `${this.run}/executions/chains` })) {
      // A piece is text when it is valid UTF-8, and bytes otherwise.
      if (piece.content.case === "text") pieces.push(Buffer.from(piece.content.value));
      if (piece.content.case === "data") pieces.push(piece.content.value);
    }
    const log = Buffer.concat(pieces);
    return { size_bytes: log.length, sha256: sha256(log) };
  }

  async query() {
    let columns: string[] = [];
    let pageToken = "";
    const pages = [];
    while (pages.length < 2) {
      const page = await this.connection.features.queryFeatures({
        featureTable: TABLE,
        filter: "residue_count > 1",
        orderBy: "chain_id desc",
        columns: ["chain_id", "polymer_type", "residue_count", "sequence", "mean_b_factor"],
        pageSize: 2,
        pageToken, // everything else must stay as it was
      });
      columns = page.columns.map((column) => column.name);
      pages.push(page.rows.map((row) => row.values.map(jsonValue)));
      pageToken = page.nextPageToken;
    }
    return { columns, pages };
  }

  async download() {
    const pieces: Uint8Array[] = [];
    for await (const piece of this.connection.depositions.downloadFile({ name: this.#file })) {
      pieces.push(piece.data);
    }
    const content = Buffer.concat(pieces);
    return { same: content.equals(readFileSync(this.structure)), sha256: sha256(content) };
  }
}

function jsonValue({ kind }: Value): unknown {
  switch (kind.case) {
    case "text":
    case "number":
    case "boolean":
    case "date":
    case "uuid":
      return kind.value;
    case "integer":
      return Number(kind.value); // a bigint: exact up to 2^53 as a number
    case "timestamp":
      return timestampDate(kind.value).toISOString();
    case "json":
      return JSON.parse(kind.value);
    case "null":
      return null;
    case undefined: // to take it for null would be wrong data
      throw new Error("a value of a kind that is not known here: a newer client is needed");
  }
}

/** The name of an enum's value in the contract; the number, for a value of a newer contract. */
export function nameOf(schema: DescEnum, value = 0): string {
  return schema.value[value]?.name ?? String(value);
}

function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
