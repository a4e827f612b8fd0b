import { Code, ConnectError } from "@connectrpc/connect";
import type { RunEvent } from "../build-output/gen/opensciencearchive/v1/run_event_pb.js";
import { RunStateSchema } from "../build-output/gen/opensciencearchive/v1/run_pb.js";
import { connect } from "./connection.js";
import { type Traveller, nameOf } from "./traveller.js";

/** Follows the run to its end, over a connection that is cut in the middle. */
export async function watch(traveller: Traveller) {
  const history = new History();
  for (;;) {
    history.connections++;
    try {
      const cut = await follow(traveller, history);
      if (!cut && history.end) {
        return {
          connections: history.connections,
          each_once: history.sequences.every((sequence, i) => sequence === BigInt(i + 1)),
          kinds: history.kinds,
          end: history.end,
          closed_with: "OK", // anything else is thrown
        };
      }
      // OK without run_finished comes after `closing`: the server goes, or spreads its watchers.
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unavailable) throw error;
    }
    // The token is exact, so nothing is missed and nothing comes twice, whoever cut the connection. A program that runs for long waits
    // here as `closing` asks, or a second or so.
    traveller.connection.close();
    traveller.connection = connect(traveller.address);
  }
}

/** Reads one stream to its end, keeping the token of what was seen. Cuts the first one after `hook_started`. */
async function follow(traveller: Traveller, history: History): Promise<boolean> {
  const call = new AbortController();
  const stream = traveller.connection.runs.watchRun(
    { name: traveller.run, start: { case: "resumeToken", value: traveller.resumeToken } },
    { signal: call.signal },
  );
  for await (const message of stream) {
    const kinds = message.events.map((event) => history.add(event));
    traveller.resumeToken = message.resumeToken; // covers these events: keep it once they are dealt with
    if (kinds.includes("hook_started") && history.connections === 1) {
      call.abort();
      return true;
    }
  }
  return false;
}

/** What was seen of a run, over all connections. */
class History {
  connections = 0;
  readonly sequences: bigint[] = [];
  readonly kinds: string[] = [];
  end = "";

  /** Takes in an event; returns its kind. */
  add({ sequence, kind }: RunEvent): string | undefined {
    this.sequences.push(sequence);
    if (kind.case === undefined) {
      console.error(`event ${sequence} is of a kind this client does not know; going on`);
      return undefined;
    }
    if (kind.case === "runFinished") this.end = nameOf(RunStateSchema, kind.value.state);
    const name = snakeCase(kind.case);
    if (name !== "hook_progress" || this.kinds.at(-1) !== name) this.kinds.push(name);
    return name;
  }
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
