// Runs chat templates with npm's @huggingface/jinja, for the tests to compare with.
//
//   node chat.mjs <folder with node_modules> <input.json> <output.json>
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [folder, input, output] = process.argv.slice(2);
const { Template } = await import(pathToFileURL(createRequire(folder + '/').resolve('@huggingface/jinja')));
const results = JSON.parse(readFileSync(input, 'utf8')).map(({ template, variables }) => {
  try {
    return new Template(template).render(variables);
  } catch {
    return null;
  }
});
writeFileSync(output, JSON.stringify(results));
