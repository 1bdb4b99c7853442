// Times the original library on one thread over documents, for the benchmark to stand beside.
//
//   RAYON_NUM_THREADS=1 node speed.mjs <folder with node_modules> <tokenizer.json> <documents.json>
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const [folder, file, documentsFile] = process.argv.slice(2);
const { Tokenizer } = createRequire(folder + '/')('tokenizers');
const begin = performance.now();
const tokenizer = Tokenizer.fromFile(file);
tokenizer.disableTruncation();
tokenizer.disablePadding();
const loadMilliseconds = performance.now() - begin;
const documents = JSON.parse(readFileSync(documentsFile, 'utf8'));
let best = Infinity;
let tokens = 0;
for (let round = 0; round < 3; round++) {
  const start = performance.now();
  const encodings = await tokenizer.encodeBatch(documents, { addSpecialTokens: false });
  best = Math.min(best, performance.now() - start);
  tokens = encodings.reduce((sum, encoding) => sum + encoding.getLength(), 0);
}
console.log(JSON.stringify({ loadMilliseconds, milliseconds: best, tokens }));
