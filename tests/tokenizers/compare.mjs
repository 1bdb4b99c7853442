// Compares our tokenizers with the original library: by default 100,000 generated strings for each real family, and
// 10,000 for each small pipeline. Every difference is an error.
//
//   node tests/tokenizers/compare.mjs [strings per family]
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const strings = process.argv[2] ?? '100000';
const project = fileURLToPath(new URL('../AwqQuantize.Engine.Tests', import.meta.url));
const run = spawnSync('dotnet', ['test', '-c', 'Release', project, '--filter', 'FullyQualifiedName~DifferentialTests|FullyQualifiedName~PipelineFixtureTests', '--logger', 'console;verbosity=normal'],
  { stdio: 'inherit', env: { ...process.env, AWQ_TOKENIZER_STRINGS: strings } });
process.exit(run.status ?? 1);
