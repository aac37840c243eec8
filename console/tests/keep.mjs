// Keeps a pair running for development until this is ended: node tests/keep.mjs [--started]
// `npx vite` in the same namespace, with TANDEM=http://10.97.0.1:9010, shows the page in work.
import { fileURLToPath } from 'node:url';
import { enterOperatorsNetwork, Pair } from './pair.mjs';

const name = enterOperatorsNetwork(fileURLToPath(import.meta.url));
if (name !== null) {
  const pair = new Pair(name);
  const end = async () => {
    await pair.end();
    process.exit(0);
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
  await pair.build();
  if (process.argv.includes('--started')) await pair.firstStart();
  console.log(JSON.stringify({ namespace: name, directory: pair.directory, token: pair.token(), one: pair.url(1), two: pair.url(2) }));
  setInterval(() => undefined, 1 << 30);
}
