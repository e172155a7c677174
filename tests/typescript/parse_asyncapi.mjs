// Prints what is wrong with an AsyncAPI document: node parse_asyncapi.mjs FILE
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
// A newer version of AsyncAPI is no fault: that is more than a warning, 0 and 1.
const wrong = diagnostics.filter((each) => each.severity <= 1);
console.log(JSON.stringify({ channels: document?.channels().length, wrong: wrong.map((each) => each.message) }));
