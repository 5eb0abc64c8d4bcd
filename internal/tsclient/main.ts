// The test compiles this beside client.ts and runs it with the URL of a server.
import { Client, TaskError, type Order } from "./client.js";

declare const process: { argv: string[] };

const client = new Client(process.argv[2]!, { headers: { "X-Test": "yes" } });

const parent: Order = {
  id: "00000000-0000-0000-0000-000000000001", items: null, by: null, note: null, photo: null, seq: "0", grid: [0, 0],
  total: null, tree: null,
};
const order: Order = {
  id: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
  items: [{ currency: "EUR", cents: -9_223_372_036_854_775_808n }],
  by: { "a\"b": { currency: "é\u2028", cents: 1n }, none: null },
  note: "hello",
  photo: new Uint8Array([0, 255, 128]),
  seq: "18446744073709551615",
  parent,
  grid: [1, 255],
  total: 123_456_789_012_345_678_901_234_567_890n,
  tree: [[], [null]],
};
const charged = await client.tsclientCharge(
  {
    order, card: "4242", after: 1_500_000_000n, at: "2024-02-29T23:59:58.123456789+01:00", count: 9_223_372_036_854_775_807n,
    small: -2_147_483_648, ratio: 0.1, free: { any: [1n, true, null, undefined], gone: undefined }, places: ["a", "b"],
  },
  { key: "once", tags: { from: "ts" }, due: new Date(0) },
);
console.log(charged.id);
await client.tsclientTidyUp();

export function wrong(): void {
  // @ts-expect-error an int64 is no number: it would lose digits
  void client.tsclientCharge({ order, card: "", after: 0n, at: "", count: 1, small: 1, ratio: 1, free: 0, places: null });
}

const args = { order, card: "", after: 0n, at: new Date(0), count: 1n, small: 1, ratio: 1, free: null, places: null };
const { card: _, ...without } = args;
// @ts-expect-error the card is missing
await refused(client.tsclientCharge(without));
await refused(client.enqueue("tsclient.Charge", { ...args, colour: "red" }));
await refused(client.enqueue("tsclient.Charge", { ...args, order: { ...order, colour: "red" } }));
await refused(client.enqueue("tsclient.Charge", { ...args, small: 2 ** 31 }));

async function refused(enqueued: Promise<unknown>): Promise<void> {
  try {
    await enqueued;
  } catch (err) {
    if (err instanceof TaskError && err.status === 422) return;
    throw err;
  }
  throw new Error("it was enqueued");
}
