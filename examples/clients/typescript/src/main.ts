// A client of osa-grpc in TypeScript: from a convention to the rows of a published structure. See ../../SCENARIO.md.
import { Traveller } from "./traveller.js";
import { errors } from "./errors.js";
import { watch } from "./watch.js";

const [address, structure, convention] = process.argv.slice(2);
if (!address || !structure || !convention) {
  console.error("usage: run ADDRESS STRUCTURE CONVENTION");
  process.exit(2);
}

const traveller = new Traveller(address, structure, convention);
const steps: [string, () => Promise<object>][] = [
  ["server_info", () => traveller.serverInfo()],
  ["validate_only", () => traveller.validateOnly()],
  ["register", () => traveller.register()],
  ["register_again", () => traveller.registerAgain()],
  ["conflict", () => traveller.conflict()],
  ["upload", () => traveller.upload()],
  ["submit", () => traveller.submit()],
  ["watch", () => watch(traveller)],
  ["log", () => traveller.log()],
  ["query", () => traveller.query()],
  ["download", () => traveller.download()],
  ["errors", () => errors(traveller)],
];
try {
  for (const [step, go] of steps) {
    console.log(JSON.stringify({ saw: sorted(await go()), step }));
  }
} finally {
  traveller.connection.close();
}

/** The same with the keys of objects in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  );
}
