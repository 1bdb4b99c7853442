// Generated strings for comparing tokenizers: every plane, controls, combining marks, emoji sequences, right-to-left,
// mixed scripts, long runs, broken surrogates, added tokens inside words, and texts made of a vocabulary's own tokens.

/** Deterministic random numbers (mulberry32). */
export const random = seed => () => {
  seed = (seed + 0x6D2B79F5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

const scripts = [[0x20, 0x7E], [0xA0, 0xFF], [0x100, 0x17F], [0x180, 0x24F], [0x370, 0x3FF], [0x400, 0x4FF], [0x531, 0x58A], [0x590, 0x5F4], [0x600, 0x6FF],
  [0x700, 0x74F], [0x780, 0x7BF], [0x900, 0x97F], [0x980, 0x9FF], [0xA00, 0xA7F], [0xB80, 0xBFF], [0xC00, 0xC7F], [0xD00, 0xD7F], [0xE00, 0xE5B], [0xE80, 0xEFF],
  [0xF00, 0xFFF], [0x1000, 0x109F], [0x10A0, 0x10FF], [0x1100, 0x11FF], [0x1200, 0x137F], [0x13A0, 0x13FF], [0x1780, 0x17FF], [0x1800, 0x18AF], [0x1E00, 0x1EFF],
  [0x1F00, 0x1FFF], [0x2000, 0x206F], [0x2070, 0x209F], [0x20A0, 0x20CF], [0x2100, 0x214F], [0x2150, 0x218F], [0x2190, 0x21FF], [0x2200, 0x22FF], [0x2460, 0x24FF],
  [0x2500, 0x25FF], [0x2600, 0x27BF], [0x2E80, 0x2FDF], [0x3000, 0x303F], [0x3040, 0x30FF], [0x3100, 0x318F], [0x3400, 0x4DBF], [0x4E00, 0x9FFF], [0xA000, 0xA4CF],
  [0xAC00, 0xD7A3], [0xF900, 0xFAFF], [0xFB00, 0xFB4F], [0xFB50, 0xFDFF], [0xFE00, 0xFE6F], [0xFF00, 0xFFEF]];
const planes = [[0x10000, 0x1037F], [0x10380, 0x107FF], [0x10800, 0x10FFF], [0x11000, 0x11FFF], [0x12000, 0x1254F], [0x13000, 0x1345F], [0x16800, 0x16FFF], [0x17000, 0x18CFF],
  [0x1B000, 0x1B2FF], [0x1BC00, 0x1BCAF], [0x1D000, 0x1D7FF], [0x1E000, 0x1EEFF], [0x1F000, 0x1FAFF], [0x20000, 0x2A6DF], [0x2A700, 0x2FA1F], [0x30000, 0x323AF],
  [0xE0000, 0xE01EF], [0xF0000, 0xF0100], [0x10FF00, 0x10FFFF], [0x10000, 0x10FFFF]];
const marks = [[0x300, 0x36F], [0x483, 0x487], [0x591, 0x5BD], [0x610, 0x61A], [0x64B, 0x65F], [0x93A, 0x94F], [0xE31, 0xE3A], [0x1AB0, 0x1ACE], [0x1DC0, 0x1DFF], [0x20D0, 0x20F0],
  [0x302A, 0x302F], [0x3099, 0x309A], [0xA8E0, 0xA8F1], [0xFE20, 0xFE2F], [0x1D165, 0x1D172], [0x1E8D0, 0x1E8D6], [0x11131, 0x11134]];
const spaces = [' ', ' ', ' ', '  ', '   ', '\n', '\n\n', '\r\n', '\t', '\u00A0', '\u1680', '\u2003', '\u2028', '\u2029', '\u202F', '\u205F', '\u3000', '\u0085', '\u000B', '\u000C', '\u180E', '\u200B', '\uFEFF', '\u001C'];
const words = `the quick brown fox Hello WORLD I'm you're he'll we've they'd it's can't DON'T o'clock 'twas 's 'S 'ſ 'Re 'lL ſtraße STRASSE naïve café cafe\u0301 résumé 12 3.14 1,000,000 2024-01-31
1234567890 ①② ½ Ⅻ ٣٤٥ ३४ a_b snake_case camelCase HTTPServer x=y+1; if(a&&b){return;} // comment /* */ <html> </div> &nbsp; foo@bar.com https://example.org/a?b=c#d \\n \\u0041 "quoted" 'single' ‘curly’ “double”
… — – - _ __init__ !!! ??? ... ,,, ;;; ::: $5 €10 ¥ % ^ & * ( ) [ ] { } | \\ / ~ \` Việt nam Привет мир Γειά σου שלום עולם مرحبا بالعالم नमस्ते สวัสดี 你好世界 こんにちは カタカナ 안녕하세요 ﬁnance ﬃ Ⅷ ㎏ ㍿ Å Å ẞ İstanbul ıI ǅ Ǆ ŉ ΐ
\u1E9B\u0323 가 \u1100\u1161\u11A8 각 \u0958 \u2126 \u212A \u212B \uFB1D \u0344 \u0F73 \u1D15E ▁ ▁▁ ▁a a▁ Ġ Ċ <0x0A> <0xE4> <unk> <s> </s> [INST] <|endoftext|>`.split(/\s+/);
const emoji = ['😀', '👍🏽', '👩‍👩‍👧‍👦', '🏳️‍🌈', '🇩🇪', '🇺🇸🇨', '❤️', '☎︎', '1️⃣', '👨🏿‍🚀', '🫠', '🧑‍🤝‍🧑', '\u{E0067}', '🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}', '‍', '️', '⃣', '🏽'];
const awkward = ['\u0000', '\u0001', '\u007F', '\u0080', '\u00AD', '\u034F', '\u061C', '\u061D', '\u070F', '\u17B4', '\u200C', '\u200D', '\u200E', '\u202E', '\u2060', '\u2066', '\uFFF9', '\uFFFD', '\uFFFE', '\uFFFF', '\uFDD0',
  '\uE000', '\uE001', '\uF8FF', '\u{1FFFE}', '\u{10FFFF}', '\u0345', '\u037A', '\u0390', '\u03C2', '\u1E9E', '\u2581', '\u{16FF4}', '\u{11DE0}', '\u{1D7CE}', '\u{10D40}', '\u0B72', '\u2150', '\uD7B0', '\u{1F100}'];
const broken = ['\uD800', '\uDC00', '\uDFFF', '\uDBFF', 'a\uD83D', '\uDE00\uD83D', '\uD83Dx\uDE00'];

export function* strings(seed, count, tokens = [], vocabulary = []) {
  const next = random(seed);
  const below = n => Math.floor(next() * n);
  const pick = list => list[below(list.length)];
  const point = ([a, b]) => { const c = a + below(b - a + 1); return c >= 0xD800 && c <= 0xDFFF ? 'x' : String.fromCodePoint(c); };
  const many = (n, make) => Array.from({ length: n }, make).join('');
  const word = () => pick(words);
  const kinds = [
    () => many(1 + below(30), () => point(pick(scripts))),
    () => { const script = pick(scripts); return many(1 + below(12), () => many(1 + below(8), () => point(script)) + pick(spaces)); },
    () => many(1 + below(20), () => next() < 0.6 ? point(pick(planes)) : next() < 0.5 ? point(pick(scripts)) : pick(spaces)),
    () => many(1 + below(15), () => point(pick(scripts)) + many(below(5), () => point(pick(marks)))),
    () => many(1 + below(12), () => pick(emoji) + (next() < 0.3 ? pick(spaces) : '') + (next() < 0.2 ? word() : '')),
    () => many(1 + below(15), () => word() + (next() < 0.7 ? ' ' : pick(spaces))),
    () => many(1 + below(20), () => next() < 0.5 ? word() : pick(spaces)),
    () => many(1 + below(25), () => next() < 0.5 ? pick(awkward) : next() < 0.5 ? point(pick(scripts)) : point([0, 0x9F])),
    () => { const unit = next() < 0.5 ? pick([...spaces, 'a', 'A', '0', '.', '=', '-', '▁', '你', '😀', '\u0301', '\n', 'ab', '!?', 'ا']) : word(); return word() + unit.repeat(1 + below(next() < 0.05 ? 400 : 40)) + (next() < 0.5 ? word() : ''); },
    () => many(1 + below(8), () => word() + pick(broken) + (next() < 0.5 ? pick(spaces) : '')),
    () => many(1 + below(10), () => tokens.length && next() < 0.6 ? (next() < 0.85 ? pick(tokens) : pick(tokens).slice(0, -1)) : next() < 0.6 ? word() : pick(spaces)),
    () => many(1 + below(14), () => vocabulary.length ? pick(vocabulary) : word()),
    () => many(1 + below(10), () => { const n = below(100000); return (next() < 0.5 ? n : n / 100) + pick(['', ' ', ',', '.', '%', '\n', 'e', 'x']); }),
    () => { const list = [...word()]; list[below(list.length)] = pick(awkward); return list.join('') + word(); },
  ];
  for (let i = 0; i < count; i++) yield pick(kinds)();
}
