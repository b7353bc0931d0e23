// Reads an AsyncAPI document and prints what its parser says as JSON: node check_asyncapi.mjs PARSER DOCUMENT
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [parser, file] = process.argv.slice(2);
const { Parser } = createRequire(import.meta.url)(parser);
const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
console.log(
  JSON.stringify({
    isReadable: Boolean(document),
    diagnostics: diagnostics.map(({ code, message, path }) => `${code} ${message} ${path.join(".")}`),
    channels: document ? document.channels().all().map((channel) => channel.id()) : [],
  }),
);
