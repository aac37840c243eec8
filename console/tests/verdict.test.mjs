// The one sentence at the top of the page, for each pair of faces that a pair can show. Needs no
// browser and no pair.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { runnerImport } from 'vite';

globalThis.localStorage = { getItem: () => 'en', setItem: () => undefined };
globalThis.document = { documentElement: {} };
const source = fileURLToPath(new URL('../src/lib/verdict.ts', import.meta.url));
const { verdict, unseen } = (await runnerImport(source, { configFile: false, logLevel: 'error', plugins: [svelte({ configFile: false })] })).module;

/** A node as the tree shows it: `STATE colour data`. */
function side(node, face, more = {}) {
  const [state, colour, ...data] = face.split(' ');
  return {
    node: { node, name: `h${node}`, answers: state !== 'unknown', ...more.node },
    module: {
      state, colour, data: data.join(' '), reason: 'its reason', record: {}, warning: null, resync_percent: null,
      switches: { failover: true }, ...more.module, mirror: { peer: 'absent', ...more.mirror },
    },
  };
}
const says = (one, two) => verdict('videeos', [one, two], '5.0 s');

const PRIM = side(1, 'PRIM green uptodate', { mirror: { peer: 'level' } });
const SECOND = side(2, 'SECOND green uptodate');
const gone = (node) => side(node, 'unknown red unknown');
const resyncing = side(2, 'SECOND magenta resyncing 42 %', { module: { resync_percent: 42 } });

const cases = [
  [PRIM, SECOND, 'good', 'videeos is protected.', /every acknowledged write is on both nodes/i],
  [side(1, 'ALONE green uptodate'), gone(2), 'bad', 'videeos runs, but is not protected.', /node2 \(h2\) does not answer\.$/],
  [PRIM, gone(2), 'bad', 'videeos runs, but is not protected.', /node2 \(h2\) does not answer\.$/],
  [side(1, 'ALONE green uptodate'), side(2, 'STOP red not uptodate'), 'bad', 'videeos runs, but is not protected.', /node2 \(h2\) is stopped\.$/],
  [side(1, 'ALONE green uptodate'), side(2, 'WAIT red not uptodate'), 'bad', 'videeos runs, but is not protected.', /node2 \(h2\) waits/],
  [side(1, 'ALONE green uptodate'), side(2, 'SECOND magenta not uptodate'), 'bad', 'videeos runs, but is not protected.', /node2 \(h2\) receives no data/],
  [side(1, 'ALONE green uptodate', { mirror: { peer: 'comparing' } }), side(2, 'SECOND magenta not uptodate'), 'busy', 'videeos runs, but is not protected yet.', /cannot take over/],
  [side(1, 'ALONE green uptodate', { mirror: { peer: 'comparing' } }), resyncing, 'busy', 'videeos runs, but is not protected yet: 42 %.', /if node1 \(h1\) fails, the service stops/],
  // Known by its heartbeats only: what it said of its mirror is old.
  [side(1, 'ALONE green uptodate', { node: { answers: false }, mirror: { peer: 'level' } }), side(2, 'SECOND magenta not uptodate'), 'bad', 'videeos runs, but is not protected.', /receives no data/],
  [side(1, 'ALONE green uptodate', { mirror: { peer: 'level' } }), SECOND, 'busy', 'videeos runs, but is not protected yet.', /brought up to date/],
  [PRIM, side(2, 'SECOND magenta not uptodate'), 'busy', 'videeos runs, but is not protected at this moment.', /its reason/],
  [PRIM, side(2, 'SECOND green not uptodate'), 'bad', 'videeos runs, but is not protected.', /./],
  [side(1, 'ALONE red uptodate'), gone(2), 'bad', 'videeos does not run.', /services do not run on node1 \(h1\) \(its reason\)/],
  [side(1, 'PRIM red uptodate'), SECOND, 'bad', 'videeos does not run.', /services do not run/],
  [side(1, 'PRIM magenta uptodate'), SECOND, 'busy', 'videeos is changing over.', /seconds/],
  [side(1, 'WAIT magenta uptodate'), SECOND, 'busy', 'videeos is changing over.', /seconds/],
  [side(1, 'WAIT magenta uptodate'), side(2, 'WAIT magenta uptodate'), 'busy', 'videeos is starting.', /seconds/],
  [gone(1), SECOND, 'bad', 'node1 (h1) does not answer.', /takes over when node1 \(h1\) has been silent on every channel for 5\.0 s/],
  [gone(1), side(2, 'SECOND magenta not uptodate'), 'bad', 'node1 (h1) does not answer.', /does not take over: its reason/],
  [gone(1), side(2, 'SECOND magenta uptodate', { module: { reason: 'isolated: none of this node\'s own links has a carrier; it does not take over' } }), 'bad', 'node1 (h1) does not answer.', /does not take over: isolated/],
  [gone(1), side(2, 'SECOND green uptodate', { module: { switches: { failover: false } } }), 'bad', 'node1 (h1) does not answer.', /does not take over/],
  [gone(1), gone(2), 'bad', 'The state of videeos is not known.', /./],
  [side(1, 'STOP red uptodate'), side(2, 'STOP red uptodate'), 'bad', 'videeos is stopped on both nodes.', /Start the module/],
  [side(1, 'WAIT red not uptodate', { module: { record: null } }), side(2, 'WAIT red not uptodate', { module: { record: null } }), 'bad', 'videeos waits for its first start.', /Serve from here/],
  [side(1, 'WAIT red not uptodate'), side(2, 'STOP red not uptodate'), 'bad', 'videeos does not run.', /below/],
  [side(1, 'ALONE green uptodate'), side(2, 'WAIT red diverged'), 'bad', 'videeos has two different copies of its data.', /^It runs on node1 \(h1\)\./],
];

for (const [one, two, level, headline, more] of cases) {
  const words = (of) => `${of.module.state} ${of.module.colour} ${of.module.data}`;
  test(`${words(one)} beside ${words(two)} (${one.module.mirror.peer}): “${headline}”`, () => {
    for (const said of [says(one, two), verdict('videeos', [two, one], '5.0 s')]) {
      assert.equal(said.headline, headline);
      assert.equal(said.level, level);
      assert.match(said.more, more);
      assert.doesNotMatch(`${said.headline} ${said.more}`, /undefined|null|\[object|\.\./);
    }
  });
}

test('nothing but a primary and a standby that are both ready, with equal data, is called protected', () => {
  const colours = ['green', 'magenta', 'red'];
  const faces = ['STOP', 'WAIT', 'ALONE', 'PRIM', 'SECOND', 'unknown']
    .flatMap((state) => colours.flatMap((colour) => ['uptodate', 'not uptodate', 'inconsistent', 'diverged', 'unknown'].map((data) => `${state} ${colour} ${data}`)));
  for (const one of faces) {
    for (const two of faces) {
      const said = says(side(1, one, { mirror: { peer: 'level' } }), side(2, two));
      const good = [[one, two], [two, one]].some(([holder, other]) => holder.startsWith('PRIM green') && !holder.endsWith('diverged') && other === 'SECOND green uptodate');
      assert.equal(said.level === 'good', good, `${one} beside ${two}: ${said.headline}`);
      assert.equal(said.headline === 'videeos is protected.', good);
    }
  }
});

test('what is old is not called protected', () => {
  const said = unseen('videeos', 'node1 (h1)', says(PRIM, SECOND), '12 s');
  assert.equal(said.level, 'unknown');
  assert.equal(said.headline, 'node1 (h1) does not answer at present.');
  assert.match(said.more, /cannot be seen from here.*12 s old.*videeos is protected/);
});
