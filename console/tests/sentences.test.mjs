// What a confirmation says about data, for each state that changes it. Needs no browser and no pair.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const source = (path) => fileURLToPath(new URL(`../src/${path}`, import.meta.url));
const load = async (path) => (await runnerImport(source(path), { configFile: false, logLevel: 'error' })).module;
const { loss } = await load('lib/loss.ts');
const { en } = await load('messages/en.ts');
const { de } = await load('messages/de.ts');

const writing = { bytes: (count) => `${count} B`, duration: (ms) => `${ms} ms`, name: (part) => `node${part.node.node}` };

function part(node, state, data, more = {}) {
  const { mirror = {}, answers = true, ...module } = more;
  return {
    node: { node, answers },
    module: {
      state, data, record: { version: 1 }, divergence: null,
      mirror: { exposure_bytes: 0, exposure_ms: 0, inconsistent: null, data_bytes: 7, ...mirror }, ...module,
    },
  };
}

const primary = part(1, 'PRIM', 'uptodate');
const standby = part(2, 'SECOND', 'uptodate');
const behind = part(2, 'SECOND', 'resyncing 42 %');
const alone = part(1, 'ALONE', 'uptodate');
const exposed = part(1, 'ALONE', 'uptodate', { mirror: { exposure_bytes: 50, exposure_ms: 9 } });
const gone = part(2, 'unknown', 'not uptodate', { answers: false });
const stopped = part(2, 'STOP', 'not uptodate');
const stoppedCurrent = part(1, 'STOP', 'uptodate');
const sides = { mine: { data_bytes: 11 }, theirs: { data_bytes: 22 } };
const diverged = part(2, 'WAIT', 'diverged', { divergence: sides });
const fresh = (node) => part(node, 'WAIT', 'not uptodate', { record: null });

// What is asked, of whom, beside whom: the sentence's name, and whether it warns.
const cases = [
  ['stop', primary, standby, 'level', false],
  ['stop', exposed, gone, 'exposed', true],
  ['stop', exposed, behind, 'exposed', true],
  ['stop', alone, gone, 'silentServing', true],
  ['stop', alone, stopped, 'onlyCopy', true],
  ['stop', part(1, 'PRIM', 'uptodate'), behind, 'onlyCopy', true],
  ['stop', standby, primary, 'second', true],
  ['stop', behind, alone, 'secondIncomplete', true],
  ['stop', part(2, 'WAIT', 'not uptodate'), gone, 'idle', false],
  ['stop', gone, primary, 'hidden', true],
  ['stop', alone, diverged, 'diverged', true],
  ['stopstart', primary, standby, 'level', false],
  ['stopstart', exposed, stopped, 'exposed', true],
  ['stopAll', primary, standby, 'levelFirst', false],
  ['stopAll', exposed, gone, 'exposed', true],
  ['stopAll', alone, stopped, 'onlyCopy', true],
  ['stopAll', stoppedCurrent, stopped, 'idle', false],
  ['restart', primary, standby, 'stays', false],
  ['restart', exposed, gone, 'exposed', true],
  ['restart', alone, gone, 'silentServing', true],
  ['swap', primary, standby, 'levelFirst', false],
  ['swap', standby, primary, 'levelFirst', false],
  ['swap', exposed, behind, 'exposed', true],
  ['start', stoppedCurrent, standby, 'proven', false],
  ['start', stopped, alone, 'behind', false],
  ['start', stopped, gone, 'startSilent', true],
  ['start', diverged, alone, 'diverged', true],
  ['start', fresh(1), fresh(2), 'firstStart', false],
  ['startAll', stoppedCurrent, stopped, 'proven', false],
  ['startAll', stoppedCurrent, gone, 'allSilent', true],
  ['startAll', gone, stoppedCurrent, 'allSilent', true],
  ['startAll', fresh(1), fresh(2), 'firstStart', false],
  ['prim', fresh(1), fresh(2), 'primFirst', true],
  ['prim', stoppedCurrent, stopped, 'primCurrent', false],
  ['prim', stopped, stoppedCurrent, 'primBehind', true],
  ['prim', stoppedCurrent, gone, 'primSilent', true],
  ['prim', diverged, stopped, 'primDiverged', true],
  ['force', stoppedCurrent, gone, 'forceSilent', true],
  ['force', stopped, stoppedCurrent, 'forceBehind', true],
  ['force', stoppedCurrent, stopped, 'forceCurrent', true],
  ['force', part(2, 'WAIT', 'inconsistent', { mirror: { inconsistent: 'half compared' } }), gone, 'forceMixed', true],
  ['force', diverged, gone, 'forceDiverged', true],
  ['second', stopped, alone, 'follows', false],
  ['second', diverged, alone, 'givesUp', true],
  ['second', stopped, gone, 'followsNobody', false],
  ['fullSync', stopped, alone, 'compared', true],
  ['fullSync', standby, primary, 'compared', true],
  ['fullSync', diverged, alone, 'givesUp', true],
  ['fullSync', stopped, gone, 'followsNobody', false],
  ['verify', primary, standby, 'untouched', false],
  ['estimate', primary, standby, 'untouched', false],
  ['switchFailover', primary, standby, 'untouched', false],
];

/** The words' own names, so that a case says which sentence it expects. */
const names = new Proxy({}, { get: (_, name) => (typeof en.confirm.loss[name] === 'function' ? (...said) => `${name} ${said.join(' ')}` : name) });

for (const [action, side, other, expected, risk] of cases) {
  const words = (one) => `${one.module.state} ${one.module.data}`;
  test(`${action} of ${words(side)} beside ${words(other)} says “${expected}”`, () => {
    const said = loss(action, side, other, names, writing);
    assert.equal(said.sentence.split(' ')[0], expected);
    assert.equal(said.risk, risk);
  });
}

test('each sentence is said by some case, in both languages, and names no undefined thing', () => {
  const said = new Set(cases.map((one) => one[3]));
  assert.deepEqual([...Object.keys(en.confirm.loss)].filter((name) => !said.has(name)), []);
  for (const language of [en, de]) {
    const texts = cases.map(([action, side, other]) => loss(action, side, other, language.confirm.loss, writing).sentence);
    for (const text of texts) assert.doesNotMatch(text, /undefined|NaN|null|\[object/);
    assert.ok(new Set(texts).size >= Object.keys(en.confirm.loss).length);
  }
});

test('only the node that really holds the writes is named, with how many and for how long', () => {
  const { sentence } = loss('stop', exposed, gone, en.confirm.loss, writing);
  assert.match(sentence, /^50 B of acknowledged writes exist only on node1, the oldest for 9 ms/);
  assert.match(loss('second', diverged, alone, en.confirm.loss, writing).sentence, /11 B/);
  assert.match(loss('force', diverged, gone, en.confirm.loss, writing).sentence, /22 B/);
});

test('a serving node without a level standby is never said to lose nothing', () => {
  const beside = [gone, stopped, behind, diverged, undefined];
  for (const action of ['stop', 'stopstart', 'stopAll', 'restart', 'swap']) {
    for (const holder of [alone, exposed]) {
      for (const other of beside) {
        const said = loss(action, holder, other, en.confirm.loss, writing);
        assert.ok(said.risk, `${action} beside ${other?.module.state}: ${said.sentence}`);
        assert.doesNotMatch(said.sentence, /is lost:/);
      }
    }
  }
});
