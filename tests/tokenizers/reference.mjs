// Runs the original library over generated strings and writes what it gives, for the tests to compare with.
//
//   node reference.mjs <folder with node_modules> <tokenizer.json> <seed> <count> <output.json>
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';
import { strings } from './strings.mjs';

const [folder, file, seed, count, output] = process.argv.slice(2);
const { Tokenizer } = createRequire(folder + '/')('tokenizers');
const json = JSON.parse(readFileSync(file, 'utf8'));
// Truncation and padding shape batches, not texts.
json.truncation = json.padding = null;
const tokenizer = Tokenizer.fromString(JSON.stringify(json));

const vocabulary = Array.isArray(json.model.vocab) ? json.model.vocab.map(entry => entry[0]) : Object.keys(json.model.vocab);
const byteLevel = JSON.stringify([json.pre_tokenizer, json.decoder]).includes('ByteLevel');
const readable = vocabulary.length < 2 ? [] : Array.from({ length: 4000 }, (_, i) => vocabulary[(i * 7919) % vocabulary.length])
  .map(token => byteLevel ? token.replaceAll('Ġ', ' ').replaceAll('Ċ', '\n').replaceAll('ĉ', '\t') : token.replaceAll('▁', ' ').replaceAll('##', ''));
const texts = [...strings(Number(seed), Number(count), (json.added_tokens ?? []).map(token => token.content), readable)];

const plain = [];
const special = [];
const decoded = [];
for (let i = 0; i < texts.length; i += 1000) {
  const batch = texts.slice(i, i + 1000);
  const withSpecial = i === 0;
  let encodings;
  try {
    encodings = await tokenizer.encodeBatch(batch, { addSpecialTokens: false });
  } catch {
    // One text that cannot be encoded fails a whole batch.
    encodings = [];
    for (const text of batch) {
      try { encodings.push(await tokenizer.encode(text, null, { addSpecialTokens: false })); } catch { encodings.push(null); }
    }
  }
  for (const [k, encoding] of encodings.entries()) {
    plain.push(encoding && encoding.getIds());
    if (withSpecial && encoding) {
      special.push((await tokenizer.encode(batch[k], null, { addSpecialTokens: true })).getIds());
      decoded.push(await tokenizer.decode(encoding.getIds(), false).catch(() => null));
    } else if (withSpecial) {
      special.push(null);
      decoded.push(null);
    }
  }
}
// As UTF-16: a surrogate that stands alone cannot be written as UTF-8.
const encoded = texts.map(text => Buffer.from(text, 'utf16le').toString('base64'));
const utf16 = decoded.map(text => text === null ? null : Buffer.from(text, 'utf16le').toString('base64'));
writeFileSync(output, JSON.stringify({ strings: encoded, plain, special, decoded: utf16 }));
