// Sends parcels through the API of web, whose URL is its first argument:
//
//	tsc --strict --target es2022 --module nodenext main.ts client.ts && node main.js http://localhost:8080/tasks/ 10
import { Client } from "./client.js";

declare const process: { argv: string[] };

const client = new Client(process.argv[2]!);
for (let i = 0; i < Number(process.argv[3]); i++) {
  const p = { id: `p-${i}`, to: i % 2 === 0 ? "Ann" : "nobody", grams: BigInt(i) + 1n };
  console.log((await client.depotDepotPack({ p }, { key: p.id })).id);
}
