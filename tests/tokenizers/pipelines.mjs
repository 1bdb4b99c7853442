// Every part of tokenizer.json in the ways that published tokenizers use it, and a few that they do not.

const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const llama3 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const cl100k = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";
const cl100kNew = "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s";
const o200k = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const kimi = "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const bloom = " ?[^(\\s|[.,!?…。，、।۔،])]+";
const deepseekLlm = ["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+"];
const deepseek3 = ["\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"];

const sequence = (...pretokenizers) => ({ type: 'Sequence', pretokenizers });
const split = (pattern, behavior = 'Isolated', invert = false) => ({ type: 'Split', pattern: { Regex: pattern }, behavior, invert });
const splitText = (text, behavior, invert = false) => ({ type: 'Split', pattern: { String: text }, behavior, invert });
const bytes = (use_regex = false, add_prefix_space = false) => ({ type: 'ByteLevel', add_prefix_space, trim_offsets: true, use_regex });
const metaspace = (prepend_scheme, split = true) => ({ type: 'Metaspace', replacement: '▁', prepend_scheme, split });
const prepended = { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] };
const replaced = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
const token = (content, flags = {}) => ({ id: 0, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: false, ...flags });
const special = [token('<unk>', { special: true }), token('<s>', { special: true }), token('</s>', { special: true })];
const spmDecoder = { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] };
const byteDecoder = bytes(true, true);
const fallback = { byte_fallback: true, fuse_unk: true, unk_token: '<unk>' };
const bos = { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '</s>', type_id: 0 } }],
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }], special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] }, '</s>': { id: '</s>', ids: [2, 3], tokens: ['</s>', 'x'] } } };
const byteSplit = (name, pattern, more = {}) => ({ name, model: 'byte-bpe', pre_tokenizer: sequence(split(pattern), bytes()), decoder: byteDecoder, ...more });
const odd = [token('the', { single_word: true }), token('Hello', { normalized: true, lstrip: true }), token('[INST]', { rstrip: true, special: true }), token('  ', { normalized: true }),
  token('quick brown', { lstrip: true, rstrip: true }), token('ab', { single_word: true, normalized: true }), token('<|endoftext|>', { special: true }), token('<|end'), token('CAFÉ', { normalized: true }), token('世界')];

export const pipelines = [
  byteSplit('gpt2-pattern', gpt2),
  { name: 'gpt2', model: 'byte-bpe', pre_tokenizer: bytes(true), post_processor: bytes(true), decoder: byteDecoder, added_tokens: [token('<|endoftext|>', { special: true })] },
  { name: 'roberta', model: 'byte-bpe', pre_tokenizer: bytes(true, true), decoder: byteDecoder, added_tokens: [token('<mask>', { lstrip: true, special: true })], post_processor: { type: 'RobertaProcessing', sep: ['</s>', 2], cls: ['<s>', 0], trim_offsets: true, add_prefix_space: true } },
  byteSplit('llama3', llama3, { options: { ignore_merges: true }, post_processor: { type: 'Sequence', processors: [bytes(true), bos] } }),
  byteSplit('cl100k', cl100k), byteSplit('cl100k-new', cl100kNew), byteSplit('o200k', o200k, { options: { ignore_merges: true } }), byteSplit('kimi', kimi), byteSplit('bloom', bloom),
  byteSplit('qwen', llama3.replace('{1,3}', ''), { normalizer: { type: 'NFC' }, added_tokens: odd }),
  { name: 'deepseek-v3', model: 'byte-bpe', normalizer: { type: 'Sequence', normalizers: [] }, pre_tokenizer: sequence(...deepseek3.map(p => split(p)), bytes()), decoder: byteDecoder },
  { name: 'deepseek-llm', model: 'byte-bpe', pre_tokenizer: sequence(...deepseekLlm.map(p => split(p)), { type: 'Digits', individual_digits: true }, bytes()), decoder: byteDecoder },
  { name: 'smollm', model: 'byte-bpe', pre_tokenizer: sequence({ type: 'Digits', individual_digits: true }, bytes(true)), decoder: byteDecoder },
  { name: 'digits-together', model: 'byte-bpe', pre_tokenizer: sequence({ type: 'Digits', individual_digits: false }, bytes(true)), decoder: byteDecoder },
  { name: 'falcon', model: 'byte-bpe', pre_tokenizer: sequence({ type: 'Punctuation', behavior: 'Contiguous' }, bytes(true), { type: 'Digits', individual_digits: false }, split('[0-9][0-9][0-9]')), decoder: byteDecoder },
  { name: 'incomplete-bytes', model: 'byte-bpe-incomplete', pre_tokenizer: bytes(true), decoder: byteDecoder, options: { unk_token: '<unk>' } },
  { name: 'incomplete-bytes-fused', model: 'byte-bpe-incomplete', pre_tokenizer: bytes(true), decoder: byteDecoder, options: { unk_token: '<unk>', fuse_unk: true } },
  { name: 'incomplete-bytes-dropped', model: 'byte-bpe-incomplete', pre_tokenizer: bytes(true), decoder: byteDecoder },
  { name: 'byte-normalizer', model: 'byte-bpe', normalizer: { type: 'ByteLevel' }, decoder: byteDecoder, added_tokens: odd },
  { name: 'llama2', model: 'spaced-bpe', normalizer: prepended, decoder: spmDecoder, added_tokens: special, options: fallback, post_processor: bos },
  { name: 'llama2-normalized-specials', model: 'spaced-bpe', normalizer: prepended, decoder: spmDecoder, added_tokens: special.map(t => ({ ...t, normalized: true })), options: fallback },
  { name: 'phi3', model: 'spaced-bpe', normalizer: prepended, decoder: spmDecoder, added_tokens: [...special, token('[INST]', { rstrip: true, special: true }), token('<|end|>', { rstrip: true, special: true })], options: fallback },
  { name: 'gemma', model: 'spaced-bpe', normalizer: replaced, pre_tokenizer: splitText(' ', 'MergedWithPrevious'), decoder: spmDecoder, added_tokens: [...special, token('\n\n'), token('▁▁▁'), token('▁▁')], options: fallback },
  { name: 'no-fallback', model: 'spaced-bpe', normalizer: replaced, decoder: spmDecoder, options: { unk_token: '<unk>', fuse_unk: false } },
  { name: 'no-fallback-fused', model: 'spaced-bpe', normalizer: replaced, decoder: spmDecoder, options: { unk_token: '<unk>', fuse_unk: true } },
  { name: 'suffixed', model: 'word-piece', pre_tokenizer: { type: 'BertPreTokenizer' }, decoder: { type: 'BPEDecoder', suffix: '</w>' } },
  ...['first', 'always', 'never'].flatMap(scheme => [true, false].map(parted => ({ name: `metaspace-${scheme}-${parted ? 'split' : 'whole'}`, model: 'spaced-bpe', pre_tokenizer: metaspace(scheme, parted),
    decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: scheme, split: parted }, added_tokens: [...special, ...odd], options: fallback }))),
  { name: 'metaspace-old', model: 'spaced-bpe', pre_tokenizer: { type: 'Metaspace', replacement: '▁', add_prefix_space: true }, options: fallback },
  { name: 'metaspace-after-strip', model: 'spaced-bpe', normalizer: { type: 'Sequence', normalizers: [{ type: 'Strip', strip_left: true, strip_right: false }, { type: 'NFKC' }] }, pre_tokenizer: metaspace('first'), options: fallback },
  { name: 'unigram', model: 'unigram', pre_tokenizer: metaspace('always'), decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true }, added_tokens: special },
  { name: 'unigram-fallback', model: 'unigram', pre_tokenizer: sequence({ type: 'WhitespaceSplit' }, metaspace('always')), options: { byte_fallback: true }, decoder: spmDecoder, normalizer: { type: 'Sequence', normalizers: [{ type: 'Nmt' }, { type: 'NFKC' }, { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' }] } },
  { name: 'xlm', model: 'unigram', normalizer: { type: 'Sequence', normalizers: [{ type: 'Strip', strip_left: false, strip_right: true }, { type: 'Replace', pattern: { Regex: ' {2,}' }, content: '▁' }] }, pre_tokenizer: metaspace('always'), post_processor: { type: 'BertProcessing', sep: ['</s>', 2], cls: ['<s>', 1] } },
  { name: 'scripts', model: 'unigram', pre_tokenizer: sequence({ type: 'UnicodeScripts' }, metaspace('never')) },
  { name: 'bert', model: 'word-piece', normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true }, pre_tokenizer: { type: 'BertPreTokenizer' }, decoder: { type: 'WordPiece', prefix: '##', cleanup: true }, post_processor: { type: 'BertProcessing', sep: ['[SEP]', 2], cls: ['[CLS]', 1] } },
  { name: 'bert-cased', model: 'word-piece', normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: false, strip_accents: false, lowercase: false }, pre_tokenizer: { type: 'BertPreTokenizer' }, decoder: { type: 'WordPiece', prefix: '##', cleanup: false }, added_tokens: odd },
  { name: 'word-level', model: 'word-level', normalizer: { type: 'Lowercase' }, pre_tokenizer: { type: 'Whitespace' } },
  { name: 'word-level-split', model: 'word-level', normalizer: { type: 'Sequence', normalizers: [{ type: 'NFD' }, { type: 'StripAccents' }, { type: 'Lowercase' }] }, pre_tokenizer: { type: 'WhitespaceSplit' } },
  { name: 'delimiter', model: 'word-level', pre_tokenizer: { type: 'CharDelimiterSplit', delimiter: 'e' } },
  { name: 'fixed-length', model: 'byte-bpe', pre_tokenizer: sequence({ type: 'FixedLength', length: 3 }, bytes()), decoder: byteDecoder },
  { name: 'nfkd', model: 'byte-bpe', normalizer: { type: 'NFKD' }, pre_tokenizer: bytes(true), decoder: byteDecoder },
  { name: 'nfd', model: 'byte-bpe', normalizer: { type: 'NFD' }, pre_tokenizer: bytes(true), decoder: byteDecoder },
  { name: 'nfkc-lowercase', model: 'byte-bpe', normalizer: { type: 'Sequence', normalizers: [{ type: 'NFKC' }, { type: 'Lowercase' }] }, pre_tokenizer: bytes(true), decoder: byteDecoder, added_tokens: odd },
  { name: 'nmt', model: 'byte-bpe', normalizer: { type: 'Nmt' }, pre_tokenizer: bytes(true), decoder: byteDecoder },
  { name: 'strip', model: 'byte-bpe', normalizer: { type: 'Strip', strip_left: true, strip_right: true }, pre_tokenizer: bytes(false), decoder: byteDecoder },
  ...['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'].flatMap(behavior => [false, true].flatMap(invert => [
    { name: `split-${behavior}${invert ? '-inverted' : ''}`, model: 'byte-bpe', pre_tokenizer: sequence(split('[\\s,.]|\\p{N}+', behavior, invert), bytes()), decoder: byteDecoder },
    { name: `split-text-${behavior}${invert ? '-inverted' : ''}`, model: 'byte-bpe', pre_tokenizer: sequence(splitText('e', behavior, invert), bytes()), decoder: byteDecoder }])),
  ...['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext'].map(behavior => ({ name: `punctuation-${behavior}`, model: 'byte-bpe', pre_tokenizer: sequence({ type: 'Punctuation', behavior }, bytes()), decoder: byteDecoder })),
  byteSplit('empty-matches', 'a*'), byteSplit('lazy', 'a.*?b|x{2,3}?|(?:ab){2}?'), byteSplit('anchors', '^\\w+|\\w+$|\\A\\s|\\s\\z|\\b\\p{L}{1,2}\\b|\\Bx'), byteSplit('look-behind', '(?<=a)\\s+|(?<!e)\\d|(?>\\w+)\\s'),
  byteSplit('posix', '[[:alpha:]]+|[[:digit:]]|[[:punct:]]+|[^[:space:]]'), byteSplit('classes', '\\w+|\\h+|[\\w.]+|[^\\W\\d]|\\S'), byteSplit('scripts-pattern', '\\p{Hiragana}+|\\p{Katakana}+|\\p{Latin}+|\\p{Cyrillic}+|\\P{Arabic}|\\p{^L}'),
  byteSplit('interval', '\\p{L}{2,3}+|.{,2}x|{|a{x'), byteSplit('dots', '.+'),
  { name: 'replace-pattern', model: 'byte-bpe', normalizer: { type: 'Sequence', normalizers: [{ type: 'Replace', pattern: { Regex: '\\d+' }, content: '#' }, { type: 'Replace', pattern: { Regex: 'z+' }, content: '~' }, { type: 'Replace', pattern: { String: 'the' }, content: '' }] }, pre_tokenizer: bytes(true), decoder: byteDecoder },
  { name: 'ctc', model: 'word-level', pre_tokenizer: { type: 'Whitespace' }, decoder: { type: 'CTC', pad_token: 'a', word_delimiter_token: 'e', cleanup: true } },
  { name: 'no-decoder', model: 'word-level', pre_tokenizer: { type: 'Whitespace' } },
];
