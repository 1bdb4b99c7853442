// Trains small models on made-up text, puts every kind of pipeline around them and records what the original library
// gives for some strings. Writes models.json and pipelines.json, which the tests read without needing npm.
//
//   node make-fixtures.mjs <folder with node_modules> <strings.json> <output folder>
import { createRequire } from 'node:module';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { random, strings } from './strings.mjs';
import { pipelines } from './pipelines.mjs';

const [folder, stringsFile, output] = process.argv.slice(2);
const require = createRequire(folder + '/');
const { Tokenizer, BPE, Unigram } = require('tokenizers');

const next = random(7);
const texts = [...strings(11, 260)].map(text => text.toWellFormed().replace(/[\0\r\n]/g, ' ').slice(0, 120));
const lines = Array.from({ length: 500 }, () => texts[Math.floor(next() * texts.length)]);
const trainingFile = join(mkdtempSync(join(tmpdir(), 'tokenizer-fixtures-')), 'text.txt');
writeFileSync(trainingFile, lines.join('\n'));

const parts = { version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
const train = (model, changes) => {
  // The binding trains a tokenizer's own model; the parts around it are set by way of its JSON.
  const json = JSON.parse((() => { const t = new Tokenizer(model); const file = trainingFile + '.json'; t.save(file); return readFileSync(file, 'utf8'); })());
  const tokenizer = Tokenizer.fromString(JSON.stringify({ ...json, ...changes }));
  tokenizer.train([trainingFile]);
  tokenizer.save(trainingFile + '.json');
  return JSON.parse(readFileSync(trainingFile + '.json', 'utf8')).model;
};
const shorten = (model, count) => {
  const kept = model.merges.slice(0, count);
  const joined = new Set(kept.map(merge => merge.join('')));
  const tokens = Object.keys(model.vocab).filter(token => [...token].length === 1 || joined.has(token));
  return { ...model, vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: kept };
};
const extend = (model, before, after = []) => {
  const tokens = [...new Set([...before, ...Object.keys(model.vocab), ...after])];
  return { ...model, vocab: Object.fromEntries(tokens.map((token, id) => [token, id])) };
};

const bytesToChars = () => {
  const chars = [];
  let n = 256;
  for (let b = 0; b < 256; b++) chars.push(String.fromCharCode((b >= 33 && b <= 126) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE ? b : n++));
  return chars;
};
const hexBytes = Array.from({ length: 256 }, (_, b) => '<0x' + b.toString(16).toUpperCase().padStart(2, '0') + '>');
const isUsual = token => [...token].every(c => c.codePointAt(0) < 0x600 || c === '▁');

const byteBpe = shorten(train(BPE.empty(), { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true } }), 700);
const spaced = train(BPE.empty(), { normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' }, pre_tokenizer: { type: 'Split', pattern: { Regex: '.{1,12}' }, behavior: 'Isolated', invert: false } });
const usual = { ...spaced, merges: spaced.merges.filter(merge => isUsual(merge.join(''))).slice(0, 700) };
const spacedBpe = shorten({ ...usual, vocab: Object.fromEntries(Object.entries(usual.vocab).filter(([token]) => isUsual(token) || [...token].length > 1)) }, 700);
const unigram = train(Unigram.empty(), { pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true } });
const words = [...new Set(lines.flatMap(line => line.toLowerCase().split(/[^\p{L}\p{N}]+/u)))].filter(word => word.length > 1 && word.length < 12).slice(0, 500);
const letters = [...new Set(words.join('') + 'abcdefghijklmnopqrstuvwxyz0123456789.,!?-')];

const models = {
  'byte-bpe': extend(byteBpe, ['<|endoftext|>', ...bytesToChars()]),
  'byte-bpe-incomplete': extend(byteBpe, ['<unk>']),
  'spaced-bpe': extend(spacedBpe, ['<unk>', '<s>', '</s>', ...hexBytes]),
  'unigram': { ...unigram, vocab: [['<unk>', 0], ['<s>', 0], ['</s>', 0], ...hexBytes.map(b => [b, -30]), ...unigram.vocab.filter(([token]) => !token.startsWith('<')).slice(0, 700).map(([token, score]) => [token, Math.round(score * 1e6) / 1e6])], unk_id: 0 },
  'word-piece': { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 30,
    vocab: Object.fromEntries([...new Set(['[UNK]', '[CLS]', '[SEP]', ...letters, ...letters.map(c => '##' + c), ...words, ...words.filter((_, i) => i % 3 === 0).map(w => '##' + w)])].map((t, i) => [t, i])) },
  'word-level': { type: 'WordLevel', unk_token: '[UNK]', vocab: Object.fromEntries(['[UNK]', ...letters, ...words].filter((t, i, all) => all.indexOf(t) === i).map((t, i) => [t, i])) },
};

const all = JSON.parse(readFileSync(stringsFile, 'utf8'));
const recorded = [...all.filter((_, i) => i % 4 === 0).map(text => text.slice(0, 120)), ...strings(23, 50)].map(text => text.toWellFormed());
const result = [];
for (const pipeline of pipelines) {
  const { name, model, options = {}, ...changes } = pipeline;
  const tokenizer = Tokenizer.fromString(JSON.stringify({ ...parts, ...changes, model: { ...models[model], ...options } }));
  const ids = [];
  const special = [];
  const decoded = [];
  for (const [i, text] of recorded.entries()) {
    ids.push(await tokenizer.encode(text, null, { addSpecialTokens: false }).then(e => e.getIds(), () => null));
    if (i % 8 === 0) {
      special.push(await tokenizer.encode(text, null, { addSpecialTokens: true }).then(e => e.getIds(), () => null));
      decoded.push(ids[i] && ids[i].length ? await tokenizer.decode(ids[i], false) : null);
    }
  }
  result.push({ name, model, options, parts: changes, ids, special, decoded });
}
writeFileSync(join(output, 'models.json'), JSON.stringify(models));
writeFileSync(join(output, 'pipelines.json'), JSON.stringify({ strings: recorded, pipelines: result }).replaceAll('{"name"', '\n{"name"'));
console.log({ pipelines: result.length, strings: recorded.length, vocabularies: Object.fromEntries(Object.entries(models).map(([k, m]) => [k, Array.isArray(m.vocab) ? m.vocab.length : Object.keys(m.vocab).length])) });
