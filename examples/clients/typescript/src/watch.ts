import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunEvent } from "../build-output/gen/opensciencearchive/v1/run_event_pb.js";
import { RunStateSchema } from "../build-output/gen/opensciencearchive/v1/run_pb.js";
import { connect } from "./connection.js";
import { type Traveller, nameOf } from "./traveller.js";

/** Follows the run to its end, over a connection that is cut in the middle. */
export async function watch(traveller: Traveller) {
  const history = new History();
  for (;;) {
    history.connections++;
    history.pauseMs = 1000;
    try {
      const cut = await follow(traveller, history);
      if (!cut) {
        // With OK there is nothing more to come.
        return {
          connections: history.connections,
          each_once: history.sequences.every((sequence, i) => sequence === BigInt(i + 1)),
          kinds: history.kinds,
          end: history.end,
          closed_with: "OK", // anything else is thrown
        };
      }
    } catch (error) {
      // Unavailable: the connection was lost, or the server goes or spreads its watchers, and has said so by `closing`.
      if (ConnectError.from(error).code !== Code.Unavailable) throw error;
    }
    // The token is exact, so nothing is missed and nothing comes twice, whoever ended the stream.
    traveller.connection.close();
    await sleep(history.pauseMs);
    traveller.connection = connect(traveller.address);
  }
}

/** Reads one stream to its end, keeping the token of what was seen. Cuts the first one after `hook_started`; returns whether it did. */
async function follow(traveller: Traveller, history: History): Promise<boolean> {
  const call = new AbortController();
  const stream = traveller.connection.runs.watchRun(
    { name: traveller.run, start: { case: "resumeToken", value: traveller.resumeToken } },
    { signal: call.signal },
  );
  for await (const message of stream) {
    const kinds = message.events.map((event) => history.add(event));
    traveller.resumeToken = message.resumeToken; // covers these events: keep it once they are dealt with
    // Whatever the reason. Any other control needs nothing done, also one that is not known here, whose case is undefined.
    if (message.control.case === "closing") {
      const { retryDelay } = message.control.value;
      if (retryDelay) history.pauseMs = durationMs(retryDelay);
    }
    if (kinds.includes("hook_started") && history.connections === 1) {
      // Only to show that nothing is lost: a client of yours does not cut its own connections.
      history.pauseMs = 0;
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
  /** Before the next connection. */
  pauseMs = 0;

  /** Takes in an event; returns its kind. */
  add({ sequence, kind }: RunEvent): string | undefined {
    this.sequences.push(sequence);
    if (kind.case === undefined) {
      // A kind of a newer contract: it counts, and there is nothing else to do about it.
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
