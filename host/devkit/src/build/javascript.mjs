// Run by `quotegate plugin build` in a folder with the sources: node quotegate.build.mjs PACKAGE WIT WORLD
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, witPath, worldName] = process.argv.slice(2);
const { componentize } = await import(pathToFileURL(join(folder, "src/componentize.js")));

try {
  const { component } = await componentize({
    sourcePath: resolve("quotegate.entry.js"),
    witPath,
    worldName,
    // All of them: what is left imports nothing but quotegate's own host functions.
    disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
  });
  await writeFile("quotegate.component.wasm", component);
} catch (problem) {
  // The words only: the stack is the tool's own.
  console.error(problem.message);
  process.exitCode = 1;
}
