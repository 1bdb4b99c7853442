// Times how long the original library takes to load a file in a fresh process, for the benchmark to stand beside.
//
//   node load.mjs <folder with node_modules> <tokenizer.json>
import { createRequire } from 'node:module';

const [folder, file] = process.argv.slice(2);
const { Tokenizer } = createRequire(folder + '/')('tokenizers');
const begin = performance.now();
Tokenizer.fromFile(file);
console.log(JSON.stringify({ milliseconds: performance.now() - begin }));
