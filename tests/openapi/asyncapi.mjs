// Parse an AsyncAPI document with the AsyncAPI project's own parser; ends with 1 and the errors that it finds.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Parser } = createRequire(`${process.cwd()}/`)("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const errors = diagnostics.filter((one) => one.severity === 0);
for (const error of errors.slice(0, 20)) console.log(error.path.join("."), error.message);
if (errors.length || !document) process.exit(1);
console.log(`${document.operations().all().length} operations`);
