// Writes src/AwqQuantize.Engine/Tokenization/Unicode/unicode.bin: what the original library holds of Unicode, asked from
// itself, code point by code point. Its parts carry tables of different Unicode versions, none of which need be that of
// the .NET runtime, and the module must not depend on the runtime's globalization settings.
//
//   node make-unicode-tables.mjs <folder with node_modules> <unicode9_normalization.json> <output>
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';

const [folder, normalizationFile, output] = process.argv.slice(2);
const { Tokenizer } = createRequire(folder + '/')('tokenizers');

const empty = { version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: null,
  post_processor: null, decoder: null, model: { type: 'BPE', vocab: {}, merges: [] } };
const normalizer = spec => Tokenizer.fromString(JSON.stringify({ ...empty, normalizer: spec })).getNormalizer();
const preTokenizer = spec => Tokenizer.fromString(JSON.stringify({ ...empty, pre_tokenizer: spec })).getPreTokenizer();

const all = [];
for (let c = 0; c <= 0x10FFFF; c++) if (c < 0xD800 || c > 0xDFFF) all.push(c);
const str = c => String.fromCodePoint(c);
const ranges = points => {
  const out = [];
  for (const c of points) {
    const last = out[out.length - 1];
    // Surrogates cannot be asked for; a range may pass over them.
    if (last && (last[1] === c - 1 || (last[1] === 0xD7FF && c === 0xE000))) last[1] = c; else out.push([c, c]);
  }
  return out;
};

const bytes = [];
const int = value => { while (value >= 0x80) { bytes.push((value & 0x7F) | 0x80); value = Math.floor(value / 128); } bytes.push(value); };
const text = value => { const utf8 = Buffer.from(value); int(utf8.length); bytes.push(...utf8); };
const rangeList = list => { int(list.length); let at = 0; for (const [a, b] of list) { int(a - at); int(b - a); at = b; } };

// 1. Sets of code points.
const sets = {};
const whole = all.map(str).join('');
const byPattern = pattern => {
  const left = new Set([...normalizer({ type: 'Replace', pattern: { Regex: pattern }, content: '' }).normalizeString(whole)].map(s => s.codePointAt(0)));
  return all.filter(c => !left.has(c));
};
const bySplit = (spec, isMember) => {
  const splitter = preTokenizer(spec);
  return all.filter(c => isMember(splitter.preTokenizeString('a' + str(c) + 'a').map(piece => piece[0])));
};
const byNormalizer = (spec, isMember) => {
  const n = normalizer(spec);
  return all.filter(c => isMember(n.normalizeString(str(c)), c));
};
const bert = flags => ({ type: 'BertNormalizer', clean_text: false, handle_chinese_chars: false, strip_accents: false, lowercase: false, ...flags });

sets['rust:word'] = bySplit({ type: 'Whitespace' }, pieces => pieces.length === 1);
sets['rust:punctuation'] = bySplit({ type: 'Punctuation', behavior: 'Isolated' }, pieces => pieces.length === 3);
sets['rust:numeric'] = bySplit({ type: 'Digits', individual_digits: true }, pieces => pieces.length === 3);
sets['rust:mark'] = byNormalizer({ type: 'StripAccents' }, s => s === '');
sets['bert:removed'] = byNormalizer(bert({ clean_text: true }), s => s === '');
sets['bert:chinese'] = byNormalizer(bert({ handle_chinese_chars: true }), s => s.length > 2 && s.startsWith(' ') && s.endsWith(' '));
sets['bert:nonspacing'] = byNormalizer(bert({ strip_accents: true }), s => s === '');
for (const posix of ['alnum', 'alpha', 'blank', 'cntrl', 'digit', 'graph', 'lower', 'print', 'punct', 'space', 'upper', 'xdigit', 'word'])
  sets['onig:[:' + posix + ':]'] = byPattern('[[:' + posix + ':]]');
sets['onig:\\w'] = byPattern('\\w');
sets['onig:[\\w]'] = byPattern('[\\w]');
sets['onig:\\s'] = byPattern('\\s');
sets['onig:\\d'] = byPattern('\\d');
sets['onig:\\h'] = byPattern('\\h');
const scripts = `Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille
Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic
Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek Gujarati
Gunjala_Gondi Gurmukhi Gurung_Khema Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi
Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Kirat_Rai Lao Latin Lepcha
Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui
Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu
Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic
Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian
Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil
Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Todhri Toto Tulu_Tigalari Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square`.split(/\s+/);
for (const name of [...scripts, 'Alphabetic', 'Lowercase', 'Uppercase', 'White_Space', 'Emoji', 'Emoji_Presentation', 'Extended_Pictographic', 'Ideographic', 'Any', 'Assigned', 'ASCII']) {
  try { sets['onig:\\p{' + name + '}'] = byPattern('\\p{' + name + '}'); } catch (error) { console.error(name + ': ' + error.message); }
}

// 2. Scripts as the UnicodeScripts pre-tokenizer sees them: a number per code point, 0 for those that never split.
const splitScripts = preTokenizer({ type: 'UnicodeScripts' });
const splits = (a, b) => splitScripts.preTokenizeString(str(a) + str(b)).length > 1;
const LATIN = 0x61, GREEK = 0x3B1;
const classes = [];
const classOf = c => {
  if (!splits(LATIN, c) && !splits(GREEK, c)) return 0;
  for (let i = 0; i < classes.length; i++) if (!splits(classes[i], c)) return i + 1;
  classes.push(c);
  return classes.length;
};
const runs = [];
for (const c of all) {
  const last = runs[runs.length - 1];
  let cls;
  if (last && last.cls !== 0 && !splits(last.to, c) && (splits(LATIN, c) || splits(GREEK, c))) cls = last.cls; else cls = classOf(c);
  if (last && last.cls === cls) last.to = c; else runs.push({ from: c, to: c, cls });
}

// 3. Lower case.
const lower = [];
const lowercase = normalizer({ type: 'Lowercase' });
for (const c of all) { const s = lowercase.normalizeString(str(c)); if (s !== str(c)) lower.push([c, [...s].map(x => x.codePointAt(0))]); }

// 4. Normalization: the library's own tables, which were read out of it once (Unicode 9).
const unicode9 = JSON.parse(readFileSync(normalizationFile, 'utf8'));

const names = Object.keys(sets).sort();
int(names.length);
for (const name of names) { text(name); rangeList(ranges(sets[name])); }
int(runs.length);
{ let at = 0; for (const run of runs) { int(run.from - at); int(run.cls); at = run.from; } }
const mapping = pairs => { int(pairs.length); let at = 0; for (const [c, to] of pairs) { int(c - at); at = c; int(to.length); to.forEach(int); } };
mapping(lower);
const entries = object => Object.entries(object).map(([key, value]) => [Number(key), value]).sort((a, b) => a[0] - b[0]);
const points = value => [...value].map(x => x.codePointAt(0));
mapping(entries(unicode9.ccc).map(([c, value]) => [c, [value]]));
mapping(entries(unicode9.NFD).map(([c, value]) => [c, points(value)]));
mapping(entries(unicode9.NFKD).map(([c, value]) => [c, points(value)]));
rangeList(ranges(entries(unicode9.NFC).map(([c]) => c)));

const packed = deflateRawSync(Buffer.from(bytes), { level: 9 });
writeFileSync(output, packed);
console.log({ sets: names.length, scripts: classes.length, runs: runs.length, lower: lower.length, raw: bytes.length, packed: packed.length });
