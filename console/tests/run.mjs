// The console of a real pair on the test hosts, used by a real browser. Nothing is recorded or
// pretended. `tandem-lab console [WORD ...]` runs it: only the cases whose names contain one of the words.

import axe from 'axe-core';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { launch } from './browser.mjs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { CLIENT, DATA, Lab, NAMES, UNIT, until, VIRTUAL } from './lab.mjs';

const PASSWORD = 'correct horse battery';
/** A face follows its cause within this, on a loaded machine. */
const SOON = { timeout: 60_000 };
const only = process.argv.slice(2);

const cases = [];
const test = (name, work) => cases.push({ name, work });

/** A browser of somebody, with everything that went wrong in it. */
async function visitor(world, options = {}) {
  const context = await world.browser.newContext({ locale: 'en-GB', viewport: { width: 1360, height: 900 }, ignoreHTTPSErrors: true, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('console', (message) => {
    // A browser reports each answer that is an error; some are asked for on purpose.
    if (message.type() === 'error' && !message.text().includes('Failed to load resource')) wrong.push(message.text());
  });
  const foreign = [];
  page.on('request', (request) => {
    if (!/^(data|blob):|^https?:\/\/10\.99\.0\.[12]:9010\//.test(request.url())) foreign.push(request.url());
  });
  return { context, page, wrong, foreign };
}

async function signIn(page, url, name, password = PASSWORD) {
  await page.goto(url);
  await page.getByLabel(/User name|Benutzername/).fill(name);
  await page.getByLabel(/Password|Passwort/).fill(password);
  await page.getByRole('button', { name: /^(Sign in|Anmelden)$/ }).click();
}

const headline = (page) => page.getByRole('heading', { level: 1 });

async function says(page, words) {
  await headline(page).filter({ hasText: words }).waitFor(SOON);
}

/** What the tree shows for a node: state, colour, data. */
async function face(page, node) {
  const row = page.locator('.tree-node').nth(node - 1);
  const state = await row.locator('.state-word').textContent();
  const colour = (await row.locator('.face').getAttribute('class')).match(/green|magenta|red/)[0];
  const data = await row.locator('.data-word').textContent();
  return `${state} ${colour} ${data.startsWith('resyncing') ? 'resyncing' : data}`;
}

async function becomes(page, node, expected) {
  let last = '';
  await until(`node${node} becomes ${expected}, and not ${last}`, async () => (last = await face(page, node)) === expected)
    .catch((error) => { throw new Error(`${error.message} (last ${last})`); });
}

/** Waits until so many commands of the open dialogue are done. */
async function done(page, count = 1) {
  await until('the command is done', async () => {
    const states = await page.locator('.job-state').evaluateAll((all) => all.map((one) => one.className));
    assert.ok(!states.some((one) => /refused|failed|unreachable|lost/.test(one)), `the command ended as ${states.join(', ')}`);
    return states.filter((one) => one.includes('done')).length >= count;
  });
}

/** A question, once everything stands in it that is expected. */
async function ask(page, of, item, expected) {
  await page.getByRole('button', { name: `Actions for ${of}` }).click();
  await page.getByRole('menuitem', { name: item, exact: true }).click();
  const dialog = page.getByRole('dialog');
  if (expected !== undefined) await dialog.getByText(expected).first().waitFor(SOON);
  return dialog;
}

async function command(page, of, item, reason = '', agreed = false) {
  const dialog = await ask(page, of, item);
  const question = await dialog.textContent();
  if (agreed) await dialog.getByRole('checkbox').check();
  if (reason !== '') await dialog.getByLabel('Reason').fill(reason);
  await dialog.getByRole('button', { name: 'Confirm' }).click();
  return { dialog, question };
}

/** What is there once a section or a tab has been filled. */
const FILLED = {
  Control: 'main tbody tr',
  Monitoring: 'main canvas',
  Timeline: 'main .log li.state',
  Doctor: 'main .sheet-card p.soft',
  Configuration: 'main textarea',
  Users: 'main tbody tr',
  'Module log': 'main .log li.state',
  'System log': '.journal time',
  'Command log': 'main tbody time',
  Information: '.information dl',
};

async function open(page, section) {
  await page.getByRole('link', { name: section, exact: true }).first().click();
  await page.locator(FILLED[section]).first().waitFor(SOON);
}

async function openTab(page, tab) {
  await page.getByRole('tab', { name: tab }).click();
  await page.locator(FILLED[tab]).first().waitFor(SOON);
}

/** What axe finds in what is shown now, light and dark. It is put in from outside, which the page's own
 *  rule forbids: only a visitor with `AXE` can be looked at. */
const AXE = { bypassCSP: true };

async function faultless(page, what, options = {}) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe.source);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    // In the dark nothing but the colours is another.
    const wanted = colorScheme === 'light' ? options : { ...options, runOnly: ['color-contrast'] };
    const { violations } = await page.evaluate((rules) => window.axe.run(rules), wanted);
    const found = violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(' ')).join(', ')}`);
    assert.deepEqual(found, [], `${what}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: null });
}

async function close(page) {
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
}

test('a wrong password is refused and a right one is not', async ({ lab, visit }) => {
  const { page } = await visit();
  await page.goto(lab.url(1));
  await page.getByText('This connection is not encrypted').waitFor();
  await signIn(page, lab.url(1), 'admin', 'wrong password');
  await page.getByRole('alert').filter({ hasText: 'wrong' }).waitFor();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is stopped on both nodes.');
});

test('the first start is asked for and done in the page', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await command(page, 'videeos', 'Start module', 'installation');
  await close(page);
  await says(page, 'videeos waits for its first start.');
  await page.getByRole('button', { name: 'Serve from here' }).first().click();
  await page.getByRole('dialog').getByRole('button', { name: 'Confirm' }).click();
  await done(page);
  await close(page);
  await says(page, 'videeos is protected.');
  await becomes(page, 1, 'PRIM green uptodate');
  await becomes(page, 2, 'SECOND green uptodate');
});

test('no request leaves for anybody else, and the page obeys its own rule', async ({ lab, visit }) => {
  const { page, foreign, wrong } = await visit();
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));
  });
  await signIn(page, lab.url(2), 'admin');
  await says(page, 'videeos is protected.');
  for (const section of ['Control', 'Monitoring', 'Timeline', 'Users']) await open(page, section);
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  assert.deepEqual(foreign, []);
  assert.deepEqual(wrong, []);
  const answer = await fetch(lab.url(2));
  const rule = answer.headers.get('content-security-policy');
  assert.ok(rule.includes("default-src 'none'") && !rule.includes('unsafe'), rule);
});

test('the page is light', async ({ lab, visit }) => {
  const { page } = await visit();
  const bodies = [];
  page.on('response', (response) => {
    if (!response.url().includes('/api/')) bodies.push(response.body());
  });
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  const sizes = (await Promise.all(bodies)).map((body) => gzipSync(body).length);
  const all = sizes.reduce((sum, size) => sum + size, 0);
  console.log(`    ${sizes.length} files, ${(all / 1000).toFixed(0)} kB compressed`);
  assert.ok(sizes.length >= 3 && all < 300_000);
});

test('axe finds nothing, light and dark, on every screen', async ({ lab, visit }) => {
  const { page } = await visit(AXE);
  await page.goto(lab.url(1));
  await page.getByLabel('User name').waitFor();
  await faultless(page, 'sign-in');
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  await faultless(page, 'overview');
  await page.getByRole('button', { name: `Actions for ${NAMES[1]}` }).click();
  await faultless(page, 'menu');
  await page.getByRole('menuitem', { name: 'Stop', exact: true }).click();
  await faultless(page, 'question');
  await page.getByRole('button', { name: 'Cancel' }).click();
  for (const section of ['Control', 'Monitoring', 'Timeline', 'Doctor', 'Configuration', 'Users']) {
    await open(page, section);
    await faultless(page, section);
  }
  await page.getByRole('button', { name: 'Add user' }).click();
  await faultless(page, 'a form');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('.account summary').click();
  await faultless(page, 'account');
  await open(page, 'Control');
  await page.getByRole('button', { name: 'History of postgresql' }).first().click();
  await faultless(page, 'history');
  await close(page);
  for (const tab of ['Module log', 'System log', 'Command log', 'Information']) {
    await openTab(page, tab);
    await faultless(page, tab);
  }
});

test('on a phone nothing is cut off', async ({ lab, visit }) => {
  for (const locale of ['en-GB', 'de-DE']) {
    const { page } = await visit({ viewport: { width: 360, height: 740 }, locale });
    const fits = async (what) => {
      const out = await page.evaluate(() => {
        const { scrollWidth: wide, clientWidth: room } = document.documentElement;
        const scrolls = (one) => one !== null && (getComputedStyle(one).overflowX !== 'visible' || scrolls(one.parentElement));
        const over = [...document.body.querySelectorAll('*')].filter((one) => one.getBoundingClientRect().right > room && !scrolls(one.parentElement));
        return wide <= room ? [] : over.map((one) => `${one.tagName}.${one.className} ${one.textContent.slice(0, 40)}`);
      });
      assert.deepEqual(out, [], `${what}, ${locale}: too wide`);
    };
    await page.goto(lab.url(1));
    await page.locator('form').waitFor();
    await fits('sign-in');
    await signIn(page, lab.url(1), 'admin');
    await headline(page).waitFor(SOON);
    for (const section of ['overview', 'control', 'monitoring', 'timeline', 'doctor', 'configuration', 'users']) {
      await page.goto(lab.url(1, `/#/${section}`));
      await page.locator('main h2, main table').first().waitFor(SOON);
      await fits(section);
    }
    await page.goto(lab.url(1, '/#/overview'));
    await page.locator('.card .menu > button').first().click();
    const menu = await page.getByRole('menu').boundingBox();
    assert.ok(menu.x >= 0 && menu.x + menu.width <= 360, `the menu, ${locale}: from ${menu.x}, ${menu.width} wide`);
  }
});

test('the keyboard alone gives a command', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  await page.getByRole('button', { name: `Actions for ${NAMES[1]}` }).focus();
  await page.keyboard.press('ArrowDown');
  await page.waitForFunction(() => document.activeElement?.getAttribute('role') === 'menuitem');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.getByText(`Restart: ${NAMES[1]}`).waitFor();
  await page.keyboard.press('Enter');
  await page.locator('.job-state.done').waitFor(SOON);
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  await says(page, 'videeos is protected.');
});

/** The table of what a node shows that is stopped and started, and what the other one shows. */
const STOP_AND_START = [
  ['PRIM green uptodate', 'SECOND green uptodate'],
  ['PRIM magenta not uptodate', 'SECOND green uptodate'],
  ['WAIT magenta not uptodate', 'ALONE magenta uptodate'],
  ['STOP red not uptodate', 'ALONE green uptodate'],
  ['WAIT magenta not uptodate', 'ALONE green uptodate'],
  ['SECOND magenta not uptodate', 'ALONE green uptodate'],
  ['SECOND green uptodate', 'PRIM green uptodate'],
];
/** The same for an exchange of roles: who gives them away, and who takes them. Nothing is ever not
 *  up to date, for both copies are level before anything moves. */
const GIVES = ['PRIM green uptodate', 'PRIM magenta uptodate', 'WAIT magenta uptodate', 'SECOND magenta uptodate', 'SECOND green uptodate'];
const TAKES = ['SECOND green uptodate', 'ALONE magenta uptodate', 'PRIM magenta uptodate', 'PRIM green uptodate'];
/** A standby that takes over, and the one that goes on without its standby, until it is back. */
const TAKES_OVER = ['SECOND green uptodate', 'ALONE magenta uptodate', 'ALONE green uptodate'];
const GOES_ON = ['PRIM green uptodate', 'ALONE green uptodate', 'PRIM green uptodate'];
const SILENT = 'unknown red unknown';

/** Notes every face that the page shows, in order. The percentage stands beside `not uptodate`. */
function watchFaces(page) {
  return page.evaluate(() => {
    window.faces = [];
    const look = () => {
      const both = [...document.querySelectorAll('.tree-node')].map((row) => {
        const data = row.querySelector('.data-word').textContent;
        const colour = row.querySelector('.face').className.match(/green|magenta|red/)[0];
        return `${row.querySelector('.state-word').textContent} ${colour} ${data.startsWith('resyncing') ? 'not uptodate' : data}`;
      });
      if (window.faces.at(-1)?.both.join() !== both.join()) window.faces.push({ at: Date.now(), both });
    };
    look();
    new MutationObserver(look).observe(document.querySelector('.tree'), { subtree: true, childList: true, characterData: true, attributes: true });
  });
}

/** What one of both nodes was, each thing once. */
const ofNode = (rows, node) => rows.map((row) => row[node - 1]).filter((now, at, all) => now !== all[at - 1]);

/** What a page that is watched has shown of a node. */
async function column(page, node) {
  return ofNode((await page.evaluate(() => window.faces)).map(({ both }) => both), node);
}

/** A page on each node, watched. A node's own page shows every state of its node, however short; of
 *  the other node it shows what that one told. */
async function watchBoth(lab, visit, options = {}) {
  const pages = [];
  for (const node of [1, 2]) {
    const { page } = await visit(options);
    await signIn(page, lab.url(node), 'admin');
    await says(page, 'videeos is protected.');
    pages.push(page);
  }
  for (const page of pages) await watchFaces(page);
  return pages;
}

/** A face that is not always there: whether a standby learns that no data comes any more before it takes
 *  over, or is recorded out, is up to how the connection ends. */
const perhaps = (face) => ({ face });
/** A standby whose data stops coming, until it comes again. */
const FALLS_BEHIND = ['SECOND green uptodate', perhaps('SECOND magenta uptodate'), 'SECOND magenta not uptodate', 'SECOND green uptodate'];

function follows(shown, expected) {
  const [next, ...rest] = expected;
  if (next === undefined) return shown.length === 0;
  if (typeof next === 'string') return shown[0] === next && follows(shown.slice(1), rest);
  return follows(shown, rest) || (shown[0] === next.face && follows(shown.slice(1), rest));
}

/** Exactly these faces, in this order, and none besides. */
async function showed(page, node, expected, what) {
  const shown = await column(page, node);
  console.log(`    node${node}, ${what}: ${shown.join(', ')}`);
  const words = expected.map((one) => (typeof one === 'string' ? one : `(${one.face})`));
  assert.ok(follows(shown, expected), `node${node}, ${what}, showed\n  ${shown.join('\n  ')}\ninstead of\n  ${words.join('\n  ')}`);
}

/** Where each state may lead (the table of transitions). */
const LEADS = {
  STOP: ['WAIT', 'ALONE', 'PRIM', 'SECOND'], WAIT: ['ALONE', 'PRIM', 'SECOND', 'STOP'],
  ALONE: ['PRIM', 'WAIT'], PRIM: ['ALONE', 'WAIT'], SECOND: ['ALONE', 'WAIT'],
};

/** Nothing that the table of transitions does not have, and no colour that contradicts its word. */
function possible(faces) {
  for (const [at, face] of faces.entries()) {
    const [state, colour, ...data] = face.split(' ');
    const [before] = (faces[at - 1] ?? face).split(' ');
    assert.ok(state === before || LEADS[before].includes(state), `${before} is followed by ${state}: ${faces.join(', ')}`);
    if (colour === 'green') assert.ok(['ALONE', 'PRIM', 'SECOND'].includes(state) && data.join(' ') === 'uptodate', face);
    if (state === 'STOP') assert.equal(colour, 'red', face);
  }
}

/** What a page shows of the other node, which is silent for a while and then the standby. What that one
 *  said before it had its place again is told ten times a second and by heartbeats: some of it. */
async function cameBack(page, node, first) {
  const shown = await column(page, node);
  console.log(`    node${node}, silent for a while: ${shown.join(', ')}`);
  assert.deepEqual(shown.slice(0, 2), [first, SILENT]);
  assert.deepEqual(shown.slice(-2), ['SECOND magenta not uptodate', 'SECOND green uptodate']);
  possible(shown.slice(2).filter((one) => one !== SILENT));
}

/** What both showed at each change of one of them, each told by its own page. */
async function together(pages) {
  const changes = [];
  for (const [place, page] of pages.entries()) {
    for (const { at, both } of await page.evaluate(() => window.faces)) changes.push({ at, place, face: both[place] });
  }
  const now = [];
  return changes.sort((one, two) => one.at - two.at).map(({ place, face }) => {
    now[place] = face;
    return now.join(' | ');
  });
}

/** Each row of the table, in its order; between two rows one of the nodes may be a step ahead. */
function hasRows(shown, table) {
  const open = table.map((row) => row.join(' | '));
  for (const row of shown) if (row === open[0]) open.shift();
  assert.deepEqual(open, [], `together they showed\n  ${shown.join('\n  ')}`);
}

test('a swap is asked, shown step by step, and written down with its reason', async ({ lab, visit }) => {
  const watcher = await visit();
  await signIn(watcher.page, lab.url(2), 'anna');
  await says(watcher.page, 'videeos is protected.');
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  for (const one of [page, watcher.page]) await watchFaces(one);
  const { dialog, question } = await command(page, NAMES[1], 'Swap', 'kernel update');
  assert.match(question, /Services that end: postgresql/);
  assert.match(question, /Nothing that was acknowledged is lost: both copies are made equal first/);
  await done(page);
  assert.ok((await dialog.locator('.steps li').count()) >= 3);
  await close(page);
  for (const one of [page, watcher.page]) {
    await becomes(one, 1, 'SECOND green uptodate');
    await becomes(one, 2, 'PRIM green uptodate');
    await one.locator('.card').nth(1).locator('.chip.address').filter({ hasText: VIRTUAL }).waitFor(SOON);
  }
  await showed(page, 1, GIVES, 'swapped');
  await showed(watcher.page, 2, TAKES, 'swapped');
  await page.getByRole('link', { name: 'Control', exact: true }).click();
  await page.getByRole('tab', { name: 'Command log' }).click();
  const row = page.getByRole('row').filter({ hasText: 'kernel update' });
  await row.filter({ hasText: 'done' }).filter({ hasText: 'admin' }).filter({ hasText: CLIENT }).waitFor(SOON);
  await page.getByRole('link', { name: 'Overview' }).click();
  // The page asks for that, and nobody waits for it.
  const back = await ask(page, 'videeos', 'Swap', /^Last time it took/);
  await back.getByRole('button', { name: 'Confirm' }).click();
  await done(page);
  await close(page);
  for (const one of [page, watcher.page]) {
    await becomes(one, 1, 'PRIM green uptodate');
    await becomes(one, 2, 'SECOND green uptodate');
  }
  await showed(page, 1, [...GIVES, ...TAKES.slice(1)], 'swapped back');
  await showed(watcher.page, 2, [...TAKES, ...GIVES.slice(1)], 'swapped back');
});

test('a node that is stopped and started shows what the manual says, step by step', async ({ lab, visit }) => {
  const pages = await watchBoth(lab, visit);
  const [, page] = pages;
  const stop = await command(page, NAMES[1], 'Stop');
  assert.match(stop.question, /hands over to node2 \(h2\)/);
  await done(page);
  await close(page);
  for (const one of pages) {
    await becomes(one, 1, 'STOP red not uptodate');
    await becomes(one, 2, 'ALONE green uptodate');
    await says(one, 'videeos runs, but is not protected.');
  }
  await command(page, NAMES[1], 'Start');
  await close(page);
  for (const one of pages) {
    await becomes(one, 1, 'SECOND green uptodate');
    await becomes(one, 2, 'PRIM green uptodate');
    await says(one, 'videeos is protected.');
  }
  for (const [place, one] of pages.entries()) await showed(one, place + 1, ofNode(STOP_AND_START, place + 1), 'node1 stopped and started');
  hasRows(await together(pages), STOP_AND_START);
  await lab.home();
});

test('each command of the menus does what it says', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  const attention = page.locator('.attention');
  for (const [off, on, words] of [
    ['Suspend error detection', 'Resume error detection', 'Error detection is suspended'],
    ['Switch failover off', 'Switch failover on', 'Failover is off'],
  ]) {
    const { question } = await command(page, NAMES[2], off);
    assert.match(question, /No data is touched/);
    await done(page);
    await close(page);
    await attention.getByText(words).waitFor(SOON);
    await command(page, NAMES[2], on);
    await done(page);
    await close(page);
    await attention.getByText(words).waitFor({ ...SOON, state: 'hidden' });
  }
  // One question for both nodes.
  for (const [item, on] of [['Enable boot start', true], ['Disable boot start', false]]) {
    await command(page, NAMES[2], item, '', true);
    await done(page, 2);
    await close(page);
    await until('both nodes say so', async () => (await lab.status(1)).nodes.every((node) => node.modules[0].switches.boot_start === on));
  }
  for (const [item, tab] of [['Logs', 'System log'], ['Support bundle', 'Information']]) {
    await page.getByRole('button', { name: `Actions for ${NAMES[1]}` }).click();
    await page.getByRole('menuitem', { name: item, exact: true }).click();
    await page.getByRole('tab', { name: tab, selected: true }).waitFor(SOON);
    await page.locator(FILLED[tab]).first().waitFor(SOON);
    await page.getByRole('link', { name: 'Overview', exact: true }).click();
  }
  await page.getByRole('button', { name: `Actions for ${NAMES[1]}` }).click();
  await page.getByRole('menuitem', { name: 'Estimate synchronisation' }).click();
  await page.getByRole('dialog').getByText(/reads .* on both nodes/).waitFor();
  await close(page);
  await command(page, NAMES[2], 'Compare both copies');
  await done(page);
  await close(page);
  await page.locator('.verification').filter({ hasText: /all equal/ }).waitFor(SOON);
  await command(page, NAMES[1], 'Restart');
  await done(page);
  await close(page);
  await command(page, NAMES[2], 'Stop, then start');
  await done(page);
  await close(page);
  await says(page, 'videeos is protected.');
  const full = await command(page, NAMES[2], 'Force start as secondary');
  assert.match(full.question, /Nothing is believed of the copy on node2/);
  await done(page);
  await close(page);
  await says(page, 'videeos is protected.');
  const whole = await command(page, 'videeos', 'Stop module');
  assert.match(whole.question, /The service goes down for everybody/);
  await done(page, 2);
  await close(page);
  await says(page, 'videeos is stopped on both nodes.');
  const forced = await command(page, NAMES[1], 'Force start as primary', 'the other one is being repaired', true);
  assert.match(forced.question, /its acknowledged writes since then will be missing/);
  await done(page);
  await close(page);
  await becomes(page, 1, 'ALONE green uptodate');
  await command(page, NAMES[2], 'Start as secondary');
  await close(page);
  await says(page, 'videeos is protected.');
  await command(page, 'videeos', 'Stop module');
  await done(page, 2);
  await close(page);
  await command(page, 'videeos', 'Start module');
  await close(page);
  await says(page, 'videeos is protected.');
  await lab.home();
});

test('a resynchronisation shows how far it is, and how long it still takes', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  await command(page, NAMES[2], 'Stop');
  await done(page);
  await close(page);
  await lab.host(1, `head -c 80M /dev/urandom >${DATA}/large; sync ${DATA}/large`);
  await lab.slowReplication('8 mbytes/second');
  await page.evaluate(() => {
    window.seen = { percents: [], left: false };
    new MutationObserver(() => {
      const value = document.querySelector('.card progress')?.value;
      if (value !== undefined && window.seen.percents.at(-1) !== value) window.seen.percents.push(value);
      if (/ compared.* differed.*about .* left/s.test(document.querySelector('.flow').textContent)) window.seen.left = true;
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await command(page, NAMES[2], 'Start');
  await close(page);
  await says(page, /not protected yet: \d+ %/);
  await says(page, 'videeos is protected.');
  await lab.heal();
  const seen = await page.evaluate(() => window.seen);
  console.log(`    ${seen.percents.join(' % ')} %`);
  assert.ok(seen.percents.length >= 4, 'it moved');
  assert.deepEqual(seen.percents, [...seen.percents].sort((a, b) => a - b));
  assert.ok(seen.left, 'how long it still takes was said');
  await lab.host(1, `rm ${DATA}/large`);
});

test('roles are refused by the page and by the node', async ({ lab, visit }) => {
  const { page, context } = await visit();
  await signIn(page, lab.url(1), 'anna');
  await says(page, 'videeos is protected.');
  await page.getByRole('button', { name: `Actions for ${NAMES[1]}` }).click();
  assert.equal(await page.getByRole('menuitem', { name: 'Swap' }).getAttribute('aria-disabled'), 'true');
  assert.equal(await page.getByRole('link', { name: 'Users' }).count(), 0);
  const token = (await (await context.request.get(lab.url(1, '/api/v1/session'))).json()).command_token;
  const forced = await context.request.post(lab.url(1, '/api/v1/command'), { data: { command: 'swap' }, headers: { 'x-tandem-command': token } });
  assert.equal(forced.status(), 403);
  const withoutToken = await context.request.post(lab.url(1, '/api/v1/command'), { data: { command: 'swap' } });
  assert.equal(withoutToken.status(), 403);
  // Who gives commands may not lose data, nor see who else there is.
  const control = await visit();
  await signIn(control.page, lab.url(1), 'otto');
  await says(control.page, 'videeos is protected.');
  await control.page.getByRole('button', { name: `Actions for ${NAMES[2]}` }).click();
  assert.equal(await control.page.getByRole('menuitem', { name: 'Restart' }).count(), 1);
  const force = control.page.getByRole('menuitem', { name: 'Force start as primary' });
  assert.match(await force.textContent(), /your role does not allow this/);
  assert.equal(await control.page.getByRole('link', { name: 'Users' }).count(), 0);
  const his = (await (await control.context.request.get(lab.url(1, '/api/v1/session'))).json()).command_token;
  const headers = { 'x-tandem-command': his };
  const asked = await control.context.request.post(lab.url(1, '/api/v1/command'), { data: { command: 'prim', node: 2, force: true }, headers });
  assert.equal(asked.status(), 403);
  for (const path of ['users', 'tokens', 'audit', 'support']) assert.equal((await control.context.request.get(lab.url(1, `/api/v1/${path}`))).status(), 403, path);
});

test('a user made on one node signs in on the other, and the session of a removed one ends', async ({ lab, visit }) => {
  const admin = await visit();
  await signIn(admin.page, lab.url(1), 'admin');
  await says(admin.page, 'videeos is protected.');
  await admin.page.getByRole('link', { name: 'Users' }).click();
  await admin.page.getByRole('button', { name: 'Add user' }).click();
  const dialog = admin.page.getByRole('dialog');
  await dialog.getByLabel('Name', { exact: true }).fill('bert');
  await dialog.getByLabel('Role').selectOption('control');
  await dialog.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await dialog.getByLabel('Repeat password').fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Confirm' }).click();
  await dialog.waitFor({ state: 'hidden' });
  const bert = await visit();
  await until('node2 knows bert', async () => (await (await lab.ask(2, '/api/v1/users')).text()).includes('bert'));
  await signIn(bert.page, lab.url(2), 'bert');
  await says(bert.page, 'videeos is protected.');
  await admin.page.getByRole('row').filter({ hasText: 'bert' }).getByRole('button', { name: 'Remove' }).click();
  await dialog.getByRole('button', { name: 'Confirm' }).click();
  await bert.page.getByText('Your session has ended.').waitFor(SOON);
});

test('German, with state words as they are', async ({ lab, visit }) => {
  const { page } = await visit({ locale: 'de-DE' });
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos ist geschützt.');
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'de');
  await becomes(page, 1, 'PRIM green uptodate');
  await page.getByRole('button', { name: `Aktionen für ${NAMES[1].replace('node', 'Knoten ')}` }).or(page.getByRole('button', { name: /^Aktionen für .*h1/ })).first().click();
  await page.getByRole('menuitem', { name: 'Rollen tauschen' }).click();
  await page.getByRole('dialog').getByText('Nichts Bestätigtes geht verloren').waitFor();
});

test('what exists on one node only is counted, in bytes and seconds, and gone after healing', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  assert.equal(await page.locator('.flow .debt').count(), 0);
  const cut = Date.now();
  await lab.cutReplication();
  await becomes(page, 1, 'ALONE green uptodate');
  // 50 MB, each acknowledged to the application only when it is on a disk.
  await lab.host(1, `dd if=/dev/urandom of=${DATA}/fifty bs=1000000 count=50 oflag=dsync status=none`);
  const debt = page.locator('.flow .debt');
  const shown = async () => {
    const words = await debt.textContent({ timeout: 1000 }).catch(() => '');
    const [, much, unit, time] = words.match(/^([\d.]+) (MB|kB|B) exist only .* oldest for ([\d.]+) s/) ?? [];
    return { words, bytes: Number(much) * { MB: 1e6, kB: 1e3, B: 1 }[unit], seconds: Number(time) };
  };
  let last = {};
  await until('the page shows 50 MB', async () => {
    last = await shown();
    return last.bytes >= 45e6;
  }).catch((error) => { throw new Error(`${error.message}: ${last.words}`); });
  const since = (Date.now() - cut) / 1000;
  console.log(`    after ${since.toFixed(1)} s: ${last.words}`);
  assert.ok(last.bytes <= 55e6, last.words);
  assert.ok(last.seconds > 0 && last.seconds <= since + 1, `${last.seconds} s of ${since} s`);
  const before = last.seconds;
  await until('the seconds go on', async () => (await shown()).seconds > before + 1);
  last = await shown();
  console.log(`    and then: ${last.words}`);
  assert.ok(last.bytes >= 45e6 && last.bytes <= 55e6, last.words);
  await lab.heal();
  await says(page, 'videeos is protected.');
  await debt.waitFor({ ...SOON, state: 'hidden' });
  await page.locator('.flow .level').waitFor(SOON);
  // The speed of what goes over, and how long the other disk takes.
  await lab.host(1, `head -c 8M /dev/urandom >${DATA}/flowing; sync ${DATA}/flowing; rm ${DATA}/flowing`);
  await page.locator('.flow .soft').filter({ hasText: /^on the other disk in [\d.,]+\sms$/ }).waitFor(SOON);
  await page.locator('.flow .figure').filter({ hasText: /^[\d.,]+ (B|kB|MB)\/s$/ }).waitFor(SOON);
});

test('the charts show what was exposed, the timeline and the log say why', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  await open(page, 'Monitoring');
  const chart = page.locator('.chart').filter({ hasText: 'acknowledged bytes that exist only here' });
  await until('the chart has the 50 MB', async () => {
    // Or more: what a resynchronisation still owed was exposed, too.
    const [, much] = (await chart.textContent()).match(/highest ([\d.]+) MB/) ?? [];
    return Number(much) >= 45;
  });
  await open(page, 'Timeline');
  await until('states of node1', async () => (await page.locator('.lane').nth(0).locator('rect.bar').count()) >= 2);
  const change = page.locator('main .log li').filter({ hasText: 'node1' });
  await change.filter({ hasText: 'ALONE' }).first().waitFor(SOON);
  await change.filter({ hasText: /ALONE.*(the other node answers, but takes no writes in time|the other node)/ }).first().waitFor(SOON);
  await open(page, 'Control');
  await openTab(page, 'Module log');
  const rows = page.locator('main .log > li');
  const all = await rows.count();
  await page.getByLabel('Filter').fill('takes no writes in time');
  await until('fewer lines', async () => (await rows.count()) < all);
  for (const words of await rows.allTextContents()) assert.match(words, /takes no writes in time/);
  const why = rows.locator('details').first();
  await why.locator('summary').click();
  await why.getByText('Decided upon').waitFor();
  await page.getByLabel('Filter').fill('no log has these words');
  await page.getByText('Nothing yet.').waitFor();
});

test('the system log is filtered, and goes on while one looks', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  await open(page, 'Control');
  await openTab(page, 'System log');
  await page.getByRole('button', { name: 'Daemon' }).click();
  const lines = page.locator('.journal li');
  const told = (word) => lines.filter({ hasText: word });
  await told('asked: sign in').first().waitFor(SOON);
  await page.getByLabel('Filter').fill('error detection, said');
  await until('no line', async () => (await told('INFO').count()) === 0);
  await page.getByLabel('Filter').fill('checkers');
  const before = await lines.count();
  await lab.host(1, 'tandem checkers off --node 1 && tandem checkers on --node 1');
  await until('new lines come by themselves', async () => (await lines.count()) >= before + 2);
  await page.getByLabel('Live').uncheck();
  const stopped = await lines.count();
  await lab.host(1, 'tandem checkers off --node 1 && tandem checkers on --node 1');
  await page.getByLabel('Filter').fill('');
  await page.getByLabel('Filter').fill('checkers');
  assert.equal(await lines.count(), stopped, 'whoever stops the log reads what is there');
  await page.getByLabel('Live').check();
  await until('it goes on', async () => (await lines.count()) > stopped);
  await page.getByRole('button', { name: 'Application' }).click();
  await page.getByText(UNIT).waitFor(SOON);
  await page.getByLabel('Filter').fill('');
  await told('PostgreSQL').first().waitFor(SOON);
});

test('doctor examines both nodes in the page, with what to do, and again when it is done', async ({ lab, visit }) => {
  const { page } = await visit(AXE);
  await signIn(page, lab.url(1), 'otto');
  await says(page, 'videeos is protected.');
  await page.getByRole('link', { name: 'Doctor', exact: true }).click();
  await page.getByText('Nobody has examined').or(page.getByText('Examined at')).first().waitFor(SOON);
  // What the application's package does when nobody looks.
  const wanted = `/etc/systemd/system/multi-user.target.wants/${UNIT}`;
  await lab.host(2, `ln -s /lib/systemd/system/postgresql@.service ${wanted} && systemctl daemon-reload`);
  const finding = page.locator('.findings > li').filter({ hasText: NAMES[2] }).filter({ hasText: UNIT });
  await page.getByRole('button', { name: /^Examine/ }).click();
  await page.getByText('Both nodes are being examined.').waitFor(SOON);
  // Who comes meanwhile is told so, and finds it afterwards.
  const anna = await visit();
  await signIn(anna.page, lab.url(1), 'anna');
  await anna.page.getByRole('link', { name: 'Doctor', exact: true }).click();
  assert.equal(await anna.page.getByRole('button', { name: /^Examine/ }).count(), 0, 'who may only look does not ask');
  await page.getByText('Examined at').waitFor({ timeout: 90_000 });
  await finding.filter({ hasText: /failed|warning/ }).filter({ hasText: 'What to do:' }).first().waitFor(SOON);
  console.log(`    ${await page.locator('.sheet-card [role=status]').textContent()}`);
  for (const node of ['node1 (h1)', 'node2 (h2)', 'between the nodes']) {
    await page.locator('.good-findings').evaluate((one) => { one.open = true; });
    assert.ok(await page.locator('.findings > li').filter({ hasText: node }).count() > 0, node);
  }
  await faultless(page, 'doctor');
  await anna.page.getByRole('link', { name: 'Overview', exact: true }).click();
  await anna.page.getByRole('link', { name: 'Doctor', exact: true }).click();
  await anna.page.getByText('Examined at').waitFor(SOON);
  await lab.host(2, `rm ${wanted} && systemctl daemon-reload`);
  await page.getByRole('button', { name: 'Examine again' }).click();
  await page.getByText('Both nodes are being examined.').waitFor(SOON);
  await page.getByText('Examined at').waitFor({ timeout: 90_000 });
  assert.equal(await finding.filter({ hasText: /failed|warning/ }).filter({ hasText: 'boot' }).count(), 0, 'what was mended is not found again');
  const admin = await visit();
  await signIn(admin.page, lab.url(1), 'admin');
  await open(admin.page, 'Control');
  await openTab(admin.page, 'Command log');
  await admin.page.getByRole('row').filter({ hasText: 'otto' }).filter({ hasText: 'doctor' }).filter({ hasText: /done: \d+ ok/ }).first().waitFor(SOON);
});

test('a licence is added in the page, and one that does not count is refused with the reason', async ({ lab, visit }) => {
  const { page } = await visit(AXE);
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  await open(page, 'Control');
  await openTab(page, 'Information');
  const card = page.locator('section[aria-labelledby=license]');
  await card.getByText('there is no licence').first().waitFor(SOON);
  await card.getByText('without a licence are used').first().waitFor(SOON);
  const name = (await card.locator('.token-word').textContent()).trim();
  assert.equal(await lab.host(1, 'tandem license request'), `cluster = ${name}\n`);
  // As whoever issues them, with the key for tests, which release builds refuse.
  await lab.host(1, `echo ${Buffer.from('test seed, known to everyone !!!').toString('hex')} >/root/license-seed`);
  const issue = (cluster) => lab.host(1, `tandem license issue --key /root/license-seed --cluster ${cluster} --licensee 'Example Ltd' --expires 2090-01-01`);
  const give = async (text) => card.locator('input[type=file]').setInputFiles({ name: 'license.txt', mimeType: 'text/plain', buffer: Buffer.from(text) });
  await give(await issue('0123456789abcdef'));
  await card.getByRole('alert').filter({ hasText: 'it is for another cluster' }).waitFor(SOON);
  const good = await issue(name);
  await give(good.replace('Example', 'Elsewhere'));
  await card.getByRole('alert').filter({ hasText: 'it was altered' }).waitFor(SOON);
  await give(good);
  await card.getByRole('status').filter({ hasText: `Add the same file on ${NAMES[2]}, too.` }).waitFor(SOON);
  await card.locator('.licences li').nth(0).filter({ hasText: 'licensed to Example Ltd, until 2090-01-01' }).waitFor(SOON);
  await faultless(page, 'a licence');
  const two = await visit();
  await signIn(two.page, lab.url(2), 'admin');
  await open(two.page, 'Control');
  await openTab(two.page, 'Information');
  const there = two.page.locator('section[aria-labelledby=license]');
  await there.locator('input[type=file]').setInputFiles({ name: 'license.txt', mimeType: 'text/plain', buffer: Buffer.from(good) });
  for (const one of [card, there]) {
    for (const node of [0, 1]) await one.locator('.licences li').nth(node).filter({ hasText: 'licensed to Example Ltd' }).waitFor(SOON);
  }
  await openTab(page, 'Command log');
  await page.getByRole('row').filter({ hasText: 'license add' }).filter({ hasText: 'refused: the licence is refused' }).first().waitFor(SOON);
  await page.getByRole('row').filter({ hasText: 'license add' }).filter({ hasText: 'done: licensed to Example Ltd' }).first().waitFor(SOON);
  // Who may only look sees it.
  const anna = await visit();
  await signIn(anna.page, lab.url(1), 'anna');
  await open(anna.page, 'Control');
  await openTab(anna.page, 'Information');
  await anna.page.getByText('licensed to Example Ltd').first().waitFor(SOON);
  assert.equal(await anna.page.locator('input[type=file]').count(), 0);
});

test('the configuration is edited in the page, looked at by both nodes, and applied; what runs as root is not', async ({ lab, visit }) => {
  const { page } = await visit(AXE);
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  await open(page, 'Configuration');
  const text = page.locator('textarea');
  const edit = async (from, to) => {
    const loaded = page.waitForResponse((answer) => answer.url().endsWith('/api/v1/configuration'));
    await page.getByRole('button', { name: 'Load again' }).click();
    const { text: shown } = await (await loaded).json();
    assert.ok(shown.includes(from), from);
    await until('the file is shown', async () => (await text.inputValue()) === shown);
    await text.fill(shown.replace(from, to));
    await page.getByRole('button', { name: 'Show what changes' }).click();
  };
  const alert = (words) => page.getByRole('alert').filter({ hasText: words }).waitFor(SOON);
  const apply = async (words, reason) => {
    await page.getByRole('button', { name: 'Apply to both nodes' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText(words).waitFor(SOON);
    await dialog.getByLabel('Reason').fill(reason);
    await dialog.getByRole('button', { name: 'Confirm' }).click();
  };
  const file = () => Promise.all([1, 2].map((node) => lab.host(node, 'cat /etc/tandem/tandem.toml')));
  const before = await file();
  const checker = 'name = "sql"';
  // A mistake, a command, and what the other machine does not have.
  await edit(checker, `${checker}\nperiods = "2s"`);
  await alert('periods');
  await edit('tcp = "127.0.0.1:5432"\naction', 'script = "/bin/true"\naction');
  await alert('checker.sql.script is changed by root on one of the nodes only');
  await edit('"10.99.1.2"', '"10.99.1.77"');
  const card = page.locator('section[aria-labelledby=plan]');
  await card.getByText('node2: this machine is not as the new file says').waitFor(SOON);
  assert.equal(await page.getByRole('button', { name: 'Apply to both nodes' }).count(), 0);
  assert.deepEqual(await file(), before, 'nothing was changed');
  // What needs no stop.
  const asked = await lab.host(1, `systemctl show -p MainPID ${UNIT}`);
  await edit(checker, `${checker}\nperiod = "2s"`);
  await card.getByRole('row').filter({ hasText: 'module.videeos.checker.sql.period' }).filter({ hasText: '2s' }).waitFor(SOON);
  await faultless(page, 'a plan');
  await apply('Nothing is stopped', 'a slower checker');
  // Sessions are in the memory of the node, which begins anew.
  await page.getByText('Your session has ended.').waitFor(SOON);
  await signIn(page, lab.url(1), 'admin');
  await open(page, 'Configuration');
  const last = page.locator('section[aria-labelledby=applied]');
  await last.getByText('Done: both nodes have it.').waitFor(SOON);
  await last.getByText('Both nodes have the new configuration.').waitFor(SOON);
  await faultless(page, 'applied');
  assert.equal(await lab.host(1, `systemctl show -p MainPID ${UNIT}`), asked, 'the application went on');
  assert.deepEqual(await file(), before.map((one) => one.replace(checker, `${checker}\nperiod = "2s"`)));
  await says(page, 'videeos is protected.');
  // What needs one, which the question says.
  await edit('name = "videeos"', 'name = "videeos"\ndurability = "memory"');
  await card.getByRole('row').filter({ hasText: 'module.videeos.durability' }).filter({ hasText: 'memory' }).waitFor(SOON);
  await apply('This stops module videeos on both nodes', 'faster');
  await page.getByText('Your session has ended.').waitFor(SOON);
  await signIn(page, lab.url(1), 'admin');
  await open(page, 'Configuration');
  await last.getByText('Done: both nodes have it.').waitFor(SOON);
  await says(page, 'videeos is protected.');
  await lab.home();
  // Back to what the cases after this one expect.
  await lab.host(1, `echo ${Buffer.from(before[0]).toString('base64')} | base64 -d >/root/before.toml && tandem config apply --yes /root/before.toml`);
  await lab.home();
  assert.deepEqual(await file(), before);
  await page.getByText('Your session has ended.').waitFor(SOON);
  await signIn(page, lab.url(1), 'admin');
  await open(page, 'Control');
  await openTab(page, 'Command log');
  await page.getByRole('row').filter({ hasText: 'config apply' }).filter({ hasText: 'a slower checker' }).filter({ hasText: 'done: both nodes have it' }).waitFor(SOON);
  await page.getByRole('row').filter({ hasText: 'config apply' }).filter({ hasText: 'faster' }).filter({ hasText: 'done: both nodes have it' }).waitFor(SOON);
  // Nobody else has the page, nor what is behind it.
  const otto = await visit();
  await signIn(otto.page, lab.url(1), 'otto');
  await says(otto.page, 'videeos is protected.');
  assert.equal(await otto.page.getByRole('link', { name: 'Configuration', exact: true }).count(), 0);
  await otto.page.goto(lab.url(1, '/#/configuration'));
  await otto.page.getByRole('alert').filter({ hasText: 'this needs the role admin' }).waitFor(SOON);
});

test('the support bundle is handed to an admin, whole, and to nobody else', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  await open(page, 'Control');
  await openTab(page, 'Information');
  for (const [link, named] of [['Download', true], ['Download without names and addresses', false]]) {
    const coming = page.waitForEvent('download', SOON);
    await page.getByRole('link', { name: link, exact: true }).click();
    const bundle = await coming;
    assert.match(bundle.suggestedFilename(), /\.tar\.gz$/);
    const archive = gunzipSync(readFileSync(await bundle.path())).toString('latin1');
    for (const part of ['status.json', 'configuration', 'history.jsonl', 'commands.jsonl']) assert.ok(archive.includes(part), `${part} is in it`);
    const addresses = [...archive.matchAll(/.{0,60}10\.99\.\d+\.\d+.{0,30}/g)].map(([words]) => words);
    if (named) assert.ok(addresses.length > 0);
    else assert.deepEqual(addresses, [], link);
    assert.ok(!archive.includes(PASSWORD) && !archive.includes((await lab.host(1, 'cat /var/lib/tandem/token')).trim()), 'no secret');
  }
  const anna = await visit();
  await signIn(anna.page, lab.url(1), 'anna');
  await says(anna.page, 'videeos is protected.');
  await open(anna.page, 'Control');
  await openTab(anna.page, 'Information');
  assert.equal(await anna.page.getByRole('link', { name: 'Download' }).count(), 0);
  assert.equal((await anna.context.request.get(lab.url(1, '/api/v1/support'))).status(), 403);
});

test('tokens, passwords, and signing out everywhere', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  await open(page, 'Users');
  const dialog = page.getByRole('dialog');
  const form = async (button, fields) => {
    await button.click();
    for (const [label, value] of fields) await dialog.getByLabel(label, { exact: true }).fill(value);
    await dialog.getByRole('button', { name: 'Confirm' }).click();
  };
  await form(page.getByRole('button', { name: 'Add token' }), [['Name', 'backup']]);
  const token = (await dialog.locator('.token').textContent()).trim();
  await close(page);
  const asks = async () => (await fetch(lab.url(2, '/api/v1/status'), { headers: { authorization: `Bearer ${token}` } })).status;
  await until('the token counts on the other node', async () => (await asks()) === 200);
  await form(page.getByRole('row').filter({ hasText: 'backup' }).getByRole('button', { name: 'Remove' }), []);
  await until('the token counts no more', async () => (await asks()) === 401);
  const two = [['Password', PASSWORD], ['Repeat password', PASSWORD]];
  await form(page.getByRole('button', { name: 'Add user' }), [['Name', 'carl'], ...two]);
  await dialog.waitFor({ state: 'hidden' });
  const carl = await visit();
  await signIn(carl.page, lab.url(1), 'carl');
  await says(carl.page, 'videeos is protected.');
  // His own password.
  const own = carl.page.getByRole('dialog');
  await carl.page.locator('.account summary').click();
  await carl.page.getByRole('button', { name: 'Change password' }).click();
  for (const [label, value] of [['Present password', PASSWORD], ['New password', 'another horse'], ['Repeat password', 'another horse']]) await own.getByLabel(label, { exact: true }).fill(value);
  await own.getByRole('button', { name: 'Confirm' }).click();
  await carl.page.getByLabel('User name').waitFor(SOON);
  await signIn(carl.page, lab.url(1), 'carl', 'another horse');
  await says(carl.page, 'videeos is protected.');
  // An admin sets it, which ends his session.
  await form(page.getByRole('row').filter({ hasText: 'carl' }).getByRole('button', { name: 'Set password' }), two);
  await carl.page.getByText('Your session has ended.').waitFor(SOON);
  // Two of his browsers, signed out by one of them.
  const other = await visit();
  for (const one of [carl, other]) {
    await signIn(one.page, lab.url(1), 'carl');
    await says(one.page, 'videeos is protected.');
  }
  await other.page.locator('.account summary').click();
  await other.page.getByRole('button', { name: 'Sign out everywhere' }).click();
  await other.page.getByLabel('User name').waitFor(SOON);
  await carl.page.getByText('Your session has ended.').waitFor(SOON);
  await form(page.getByRole('row').filter({ hasText: 'carl' }).getByRole('button', { name: 'Remove' }), []);
  await dialog.waitFor({ state: 'hidden' });
});

test('a service that somebody masked goes to the other node, with the reason', async ({ lab, visit }) => {
  const pages = await watchBoth(lab, visit);
  const [, page] = pages;
  await lab.host(1, `systemctl mask ${UNIT} && systemctl stop ${UNIT}`);
  for (const shown of pages) {
    await becomes(shown, 2, 'ALONE green uptodate');
    await becomes(shown, 1, 'STOP red not uptodate');
  }
  await page.locator('.card').first().getByText('masked').first().waitFor(SOON);
  await lab.host(1, `systemctl unmask ${UNIT}`);
  await command(page, NAMES[1], 'Start');
  await close(page);
  for (const shown of pages) await says(shown, 'videeos is protected.');
  // As if it had been stopped.
  for (const [place, one] of pages.entries()) await showed(one, place + 1, ofNode(STOP_AND_START, place + 1), 'masked on node1');
  hasRows(await together(pages), STOP_AND_START);
  await lab.home();
});

test('a network that is cut is named, and the other one goes on', async ({ lab, visit }) => {
  const pages = await watchBoth(lab, visit);
  // A browser comes over the first network; the data of the standby, too.
  const [one, two] = pages;
  await lab.order('cable', 1, 'pull', 1);
  for (const page of pages) await page.locator('.attention').getByText(/network 1: nothing heard for/).first().waitFor(SOON);
  await lab.order('cable', 1, 'plug', 1);
  for (const page of pages) await page.locator('.attention').waitFor({ ...SOON, state: 'hidden' });
  await showed(one, 1, ['PRIM green uptodate'], 'the second network cut');
  await showed(two, 2, ['SECOND green uptodate'], 'the second network cut');
  await lab.order('cable', 1, 'pull', 0);
  await says(one, `${NAMES[1]} does not answer at present.`);
  await says(two, 'videeos runs, but is not protected.');
  await two.locator('.attention').getByText(/network 0: nothing heard for/).first().waitFor(SOON);
  await lab.order('cable', 1, 'plug', 0);
  for (const page of pages) await says(page, 'videeos is protected.');
  await showed(two, 1, GOES_ON, 'the first network cut');
  await showed(two, 2, FALLS_BEHIND, 'the first network cut');
});

test('all networks of the standby are cut, and then all of the primary', async ({ lab, visit }) => {
  const [one, two] = await watchBoth(lab, visit);
  await lab.order('cable', 2, 'pull');
  await says(two, `${NAMES[2]} does not answer at present.`);
  await becomes(one, 1, 'ALONE green uptodate');
  await one.getByText('does not answer for').waitFor(SOON);
  await lab.order('cable', 2, 'plug');
  for (const page of [one, two]) await says(page, 'videeos is protected.');
  await showed(one, 1, GOES_ON, 'node2 cut off');
  await cameBack(one, 2, 'SECOND green uptodate');
  // Nothing from before belongs to what follows.
  for (const page of [one, two]) await watchFaces(page);
  await lab.order('cable', 1, 'pull');
  await says(two, `${NAMES[1]} does not answer.`);
  await says(one, `${NAMES[1]} does not answer at present.`);
  await becomes(two, 2, 'ALONE green uptodate');
  await says(two, 'videeos runs, but is not protected.');
  await lab.order('cable', 1, 'plug');
  for (const page of [one, two]) await says(page, 'videeos is protected.');
  await showed(two, 2, [TAKES_OVER[0], perhaps('SECOND magenta uptodate'), ...TAKES_OVER.slice(1), 'PRIM green uptodate'], 'node1 cut off');
  await cameBack(two, 1, 'PRIM green uptodate');
  // What nobody could see stands in the timeline.
  await open(one, 'Timeline');
  const change = one.locator('main .log li').filter({ hasText: 'node1' }).filter({ hasText: 'WAIT' });
  await change.filter({ hasText: "isolated: none of this node's own links has a carrier" }).first().waitFor(SOON);
  await lab.home();
});

test('two sides that both served are shown, and the operator chooses', async ({ lab, visit }) => {
  // One cable pulled is nobody's trouble.
  await lab.order('cable', 1, 'pull', 1);
  const one = await visit(AXE);
  await signIn(one.page, lab.url(1), 'admin');
  await says(one.page, 'videeos is protected.');
  const two = await visit();
  await signIn(two.page, lab.url(2), 'admin');
  await lab.order('cable', 1, 'plug', 1);
  await says(two.page, 'videeos is protected.');
  for (const { page } of [one, two]) await watchFaces(page);
  await lab.cut(1, 2);
  await becomes(one.page, 1, 'ALONE green uptodate');
  await becomes(two.page, 2, 'ALONE green uptodate');
  await one.page.getByText('does not answer for').waitFor(SOON);
  await lab.host(1, `date >${DATA}/of-one; sync ${DATA}/of-one`);
  await lab.host(2, `date >${DATA}/of-two; sync ${DATA}/of-two`);
  await lab.heal();
  for (const { page } of [one, two]) {
    await says(page, 'videeos has two different copies of its data.');
    await becomes(page, 2, 'WAIT red diverged');
    const rows = page.getByRole('region', { name: 'What each side has' }).or(page.locator('section[aria-labelledby=divergence]')).first().locator('tbody tr');
    assert.equal(await rows.count(), 2);
    assert.match(await rows.nth(0).textContent(), /node1 \(h1\).*[kM]B.*yes$/);
    assert.match(await rows.nth(1).textContent(), /node2 \(h2\).*[kM]B.*no$/);
    await page.getByText('To keep the side of').waitFor();
  }
  await showed(one.page, 1, ['PRIM green uptodate', 'ALONE green uptodate'], 'cut from the other');
  await showed(two.page, 2, [TAKES_OVER[0], perhaps('SECOND magenta uptodate'), ...TAKES_OVER.slice(1), 'WAIT magenta diverged', 'WAIT red diverged'], 'cut from the other');
  await faultless(one.page, 'divergence');
  const { question } = await command(one.page, NAMES[2], 'Start as secondary', 'the side of h1 counts', true);
  assert.match(question, /What only node2 \(h2\) has since the copies parted is given up for good/);
  await close(one.page);
  await says(one.page, 'videeos is protected.');
  await says(two.page, 'videeos is protected.');
  assert.equal(await lab.host(1, `ls ${DATA} | grep ^of-`), 'of-one\n');
});

/** Over HTTP a browser opens six connections to a server, and no more. */
async function sixTabs({ lab, visit }) {
  const { page, context } = await visit();
  await signIn(page, lab.url(1), 'admin');
  const pages = [page];
  for (let more = 1; more < 6; more += 1) {
    const tab = await context.newPage();
    await tab.goto(lab.url(1));
    pages.push(tab);
  }
  for (const tab of pages) await says(tab, 'videeos is protected.');
  // Another request finds a connection.
  await page.getByRole('link', { name: 'Control', exact: true }).click();
  await page.getByRole('tab', { name: 'Module log' }).click();
  await page.locator('.log li').first().waitFor(SOON);
  await lab.host(2, 'tandem stop');
  for (const tab of pages) await says(tab, 'videeos runs, but is not protected.');
  await lab.host(2, 'tandem start --no-wait');
  for (const tab of pages) await says(tab, 'videeos is protected.');
}

test('six tabs of one browser keep one stream, and all of them follow', sixTabs);

test('a node that stops answering its page says so at once', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  // The browser's own connection is the one that is silent.
  await lab.cut(1, 9);
  await page.getByText('does not answer at present').waitFor(SOON);
  await lab.heal();
  await page.getByText('does not answer at present').waitFor({ ...SOON, state: 'hidden' });
});

test('who guesses passwords has to wait, and nobody who signed in from there before', async ({ lab, visit }) => {
  const { page } = await visit();
  await page.goto(lab.url(1));
  const alert = page.getByRole('alert').filter({ hasText: /wrong|too many/ });
  const refused = async (name, password) => {
    await signIn(page, lab.url(1), name, password);
    await alert.waitFor(SOON);
    return alert.textContent();
  };
  await until('mallory has to wait', async () => (await refused('mallory', 'guess')).includes('too many attempts failed: wait'));
  // Long enough for what follows: each further guess doubles it.
  await until('mallory has to wait for long', async () => {
    const [, seconds] = (await refused('mallory', 'guess')).match(/wait (\d+) s/) ?? [];
    return Number(seconds) >= 5;
  });
  assert.match(await refused('eve', 'guess'), /too many attempts failed: wait/, 'a name that was never here');
  const known = await visit();
  await signIn(known.page, lab.url(1), 'admin');
  await says(known.page, 'videeos is protected.');
});

test('many connections, slow requests and huge bodies keep no heartbeat from anybody', async ({ lab }) => {
  const before = (await lab.status(2)).nodes.map((node) => node.modules[0].state).join();
  const sockets = [];
  for (let count = 0; count < 2000; count += 1) {
    const socket = net.connect(9010, lab.addresses[1]);
    socket.on('error', () => undefined);
    if (count % 2 === 0) socket.write('GET /api/v1/status HTTP/1.1\r\nhost: x\r\nx-slow: ');
    sockets.push(socket);
  }
  const huge = http.request(lab.url(1, '/api/v1/session'), { method: 'POST', headers: { 'content-type': 'application/json' } });
  huge.on('error', () => undefined);
  for (let megabytes = 0; megabytes < 32; megabytes += 1) huge.write('x'.repeat(1 << 20));
  for (let look = 0; look < 20; look += 1) {
    const status = await lab.status(2);
    assert.ok(status.nodes.every((node) => node.answers), 'both daemons talk to each other');
    assert.equal(status.nodes.map((node) => node.modules[0].state).join(), before);
    await new Promise((done) => setTimeout(done, 250));
  }
  for (const socket of sockets) socket.destroy();
  huge.destroy();
  await until('node1 answers again', () => lab.answers(1));
});

test('the certificates of both nodes are shown in the page, made, and replaced by an own one', async ({ lab, visit }) => {
  const { page } = await visit(AXE);
  const card = (of) => of.locator('section[aria-labelledby=certificates]');
  const information = async (of, url, who) => {
    await signIn(of, url, who);
    await open(of, 'Control');
    await openTab(of, 'Information');
  };
  const confirmed = async (of, button) => {
    await card(of).getByRole('button', { name: button }).click();
    await of.getByRole('dialog').getByRole('button', { name: 'Confirm' }).click();
  };
  /** What the node shows to whoever connects. */
  const presented = () => new Promise((resolve, reject) => {
    const socket = tls.connect(9010, lab.addresses[1], { rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on('error', reject);
  });
  await information(page, lab.url(1), 'admin');
  await card(page).getByText('HTTP, without a certificate').first().waitFor(SOON);
  await card(page).getByText('A key is not sent over HTTP.').waitFor(SOON);
  assert.equal(await card(page).getByRole('button', { name: 'Use your own' }).count(), 0);
  await faultless(page, 'no certificates');
  await confirmed(page, `Make one on ${NAMES[1]}, and change to HTTPS`);
  await card(page).getByText('In place. Its fingerprint:').waitFor(SOON);
  const made = await presented();
  assert.ok((await card(page).getByRole('status').textContent()).includes(made), made);
  const base = await card(page).getByRole('link', { name: 'Go on over HTTPS' }).getAttribute('href');
  assert.equal(base, `https://${lab.addresses[1]}:9010/`);
  const { page: safe } = await visit(AXE);
  await information(safe, base, 'admin');
  await card(safe).getByText(made).waitFor(SOON);
  await card(safe).getByText('made by Tandem').waitFor(SOON);
  // A new one counts for who connects from then on, and whoever is there goes on.
  await confirmed(safe, `Make a new one on ${NAMES[1]}`);
  await card(safe).getByRole('status').filter({ hasText: 'Reload this page' }).waitFor(SOON);
  const renewed = await presented();
  assert.notEqual(renewed, made);
  await card(safe).locator('dd').getByText(renewed).waitFor(SOON);
  await safe.reload();
  await openTab(safe, 'Information');
  await card(safe).locator('dd').getByText(renewed).waitFor(SOON);
  // An own one.
  await lab.host(1, 'cd /root && openssl req -x509 -newkey rsa:2048 -nodes -days 20 -subj "/O=Example/CN=console.example" -keyout own.key -out own.pem 2>/dev/null');
  const [own, ownKey, theirs] = await Promise.all(['own.pem', 'own.key', '../var/lib/tandem/https/key.pem'].map((name) => lab.host(1, `cat /root/${name}`)));
  const give = async (certificate, key) => {
    const dialog = safe.getByRole('dialog');
    if (!(await dialog.isVisible())) await card(safe).getByRole('button', { name: `Use your own on ${NAMES[1]}` }).click();
    const file = (name, text) => ({ name, mimeType: 'application/x-pem-file', buffer: Buffer.from(text) });
    await dialog.getByLabel('Certificate').setInputFiles(file('own.pem', certificate));
    await dialog.getByLabel('Private key').setInputFiles(file('own.key', key));
    await dialog.getByRole('button', { name: 'Confirm' }).click();
  };
  const refused = (words) => safe.getByRole('dialog').getByRole('alert').filter({ hasText: words }).waitFor(SOON);
  await give('nothing', ownKey);
  await refused('this is no certificate as PEM');
  await give(own, theirs);
  await refused('use the certificate and the key of the console');
  assert.equal(await presented(), renewed, 'nothing was changed');
  await faultless(safe, 'an own certificate');
  await give(own, ownKey);
  await card(safe).getByText('console.example').waitFor(SOON);
  await card(safe).locator('dd').getByText('your own').waitFor(SOON);
  await card(safe).getByText(/^(19|20) days left$/).waitFor(SOON);
  const now = await presented();
  await card(safe).locator('dd').getByText(now).waitFor(SOON);
  // The other node knows it, and shows it to those who may only look.
  const anna = await visit();
  await information(anna.page, lab.url(2), 'anna');
  await card(anna.page).locator('dd').getByText(now).waitFor(SOON);
  await card(anna.page).getByText('HTTP, without a certificate').waitFor(SOON);
  assert.equal(await card(anna.page).getByRole('button').count(), 0);
  await openTab(safe, 'Command log');
  const row = (what, result) => safe.getByRole('row').filter({ hasText: what }).filter({ hasText: result }).first().waitFor(SOON);
  await row('console https --renew', `done: Tandem on h1, ${renewed}`);
  await row('console https --certificate', 'refused: use the certificate and the key of the console');
  await row('console https --certificate', `done: console.example, ${now}`);
  assert.ok(!(await safe.locator('main').textContent()).includes('PRIVATE'));
});

// From here on over HTTPS.

test('over HTTPS the page warns of nothing, and the cookie stays there', async ({ lab, visit }) => {
  for (const node of [1, 2]) await lab.host(node, 'tandem console https && systemctl restart tandem.service');
  lab.scheme = 'https';
  for (const node of [1, 2]) await until(`node${node} answers`, () => lab.answers(node));
  await lab.becomes(1, 'PRIM green uptodate');
  await lab.becomes(2, 'SECOND green uptodate');
  const { page, context } = await visit();
  await page.goto(lab.url(1));
  await page.getByLabel('User name').waitFor();
  assert.equal(await page.getByText('This connection is not encrypted').count(), 0);
  await signIn(page, lab.url(1), 'admin');
  await says(page, 'videeos is protected.');
  const [cookie] = await context.cookies();
  assert.deepEqual([cookie.secure, cookie.httpOnly, cookie.sameSite], [true, true, 'Strict']);
});

test('six tabs over HTTPS, too', sixTabs);

test('the page follows a power cut without a reload', async ({ lab, visit }) => {
  const { page } = await visit();
  await signIn(page, lab.url(2), 'admin');
  await says(page, 'videeos is protected.');
  await page.evaluate(() => { window.sameDocument = true; });
  await watchFaces(page);
  await lab.order('power', 1);
  await becomes(page, 2, 'ALONE green uptodate');
  await says(page, 'videeos runs, but is not protected.');
  await page.getByText('does not answer for').waitFor(SOON);
  await page.locator('.card').nth(1).locator('.chip.address').filter({ hasText: VIRTUAL }).waitFor(SOON);
  // A page that is opened now does not wait for the dead one.
  const late = await visit(AXE);
  await signIn(late.page, lab.url(2), 'anna');
  await says(late.page, 'videeos runs, but is not protected.');
  const begun = Date.now();
  await late.page.reload();
  await says(late.page, 'videeos runs, but is not protected.');
  const spent = Date.now() - begun;
  console.log(`    painted after ${spent} ms, without the other node`);
  assert.ok(spent < 10_000, 'it waited for the node that is dead');
  await faultless(late.page, 'alone');
  await lab.order('boot', 1);
  await until('node1 can be started', async () => (await face(page, 1)).startsWith('STOP'));
  await command(page, NAMES[1], 'Start', 'after the power cut');
  await close(page);
  await says(page, 'videeos is protected.');
  assert.equal(await page.locator('.flow .debt').count(), 0);
  assert.equal(await page.evaluate(() => window.sameDocument), true);
  await showed(page, 2, [TAKES_OVER[0], perhaps('SECOND magenta uptodate'), ...TAKES_OVER.slice(1), 'PRIM green uptodate'], 'node1 without power');
  await cameBack(page, 1, 'PRIM green uptodate');
});

test('both machines are rebooted, and the page finds its way back', async ({ lab, visit }) => {
  const pages = await watchBoth(lab, visit);
  const [page] = pages;
  await lab.host(1, 'tandem boot on');
  const silent = page.getByText('does not answer at present');
  await Promise.all([1, 2].map((node) => lab.order('shutdown', node)));
  await silent.waitFor(SOON);
  // It asks again and again, and what it was told before does not pass for an answer.
  let asked = 0;
  page.on('requestfailed', () => { asked += 1; });
  await until('it asks again', () => asked >= 3);
  assert.ok(await silent.isVisible(), 'it says so until the node answers');
  await Promise.all([1, 2].map((node) => lab.order('boot', node)));
  // Sessions are in the memory of the node.
  await page.getByText('Your session has ended.').waitFor(SOON);
  const both = { begun: [], ended: [] };
  // Which of both is down first, and what each still hears of the other, is the machines' affair.
  for (const [place, shown] of pages.entries()) {
    const faces = await column(shown, place + 1);
    console.log(`    node${place + 1}, shut down: ${faces.join(', ')}`);
    possible(faces);
    both.begun.push(faces[0]);
    assert.ok(faces.length > 1 && !faces[1].startsWith('STOP'), 'it stops in good order');
  }
  for (const [place, shown] of pages.entries()) {
    await signIn(shown, lab.url(place + 1), 'admin');
    await headline(shown).waitFor(SOON);
    await shown.locator('.tree-node').nth(1).waitFor(SOON);
    await watchFaces(shown);
  }
  for (const [place, shown] of pages.entries()) {
    await says(shown, 'videeos is protected.');
    const faces = await column(shown, place + 1);
    console.log(`    node${place + 1}, booted: ${faces.join(', ')}`);
    possible(faces);
    both.ended.push(faces.at(-1));
    // Why it began is told by its log.
    await open(shown, 'Control');
    await openTab(shown, 'Module log');
    const begun = shown.locator('main .log > li').filter({ hasText: `node${place + 1}` }).filter({ hasText: 'the node was running before' });
    await begun.first().waitFor(SOON);
  }
  for (const faces of [both.begun, both.ended]) assert.deepEqual(faces.sort(), ['PRIM green uptodate', 'SECOND green uptodate']);
});

const lab = new Lab();
const world = { lab, browser: null };
let failed = 0;
try {
  for (const [who, role] of [['admin', 'admin'], ['otto', 'control'], ['anna', 'monitor']]) await lab.addUser(who, PASSWORD, role);
  await until('node2 knows the users', async () => (await (await lab.ask(2, '/api/v1/users')).text()).includes('anna'));
  world.browser = await launch();
  const wanted = cases.filter((one) => only.length === 0 || only.some((word) => one.name.includes(word)));
  // Cases go on where the one before them ended; one alone begins with a pair that serves.
  if (cases.indexOf(wanted[0]) > 1) {
    for (const node of [1, 2]) await lab.host(node, 'tandem start --no-wait');
    await lab.becomes(1, 'WAIT red not uptodate');
    await lab.host(1, 'tandem prim');
    await lab.home();
  }
  for (const { name: title, work } of wanted) {
    const open = [];
    const visit = async (options) => {
      const one = await visitor(world, options);
      open.push(one);
      return one;
    };
    const begun = Date.now();
    const spent = () => `(${((Date.now() - begun) / 1000).toFixed(1)} s)`;
    try {
      await work({ lab, visit });
      for (const one of open) assert.deepEqual(one.wrong, [], 'errors in the page');
      console.log(`ok   ${title} ${spent()}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${title} ${spent()}: ${error.stack}`);
      for (const [at, one] of open.entries()) await one.page.screenshot({ path: join(tmpdir(), `console-${failed}-${at}.png`) }).catch(() => undefined);
      await lab.repair();
      await lab.home().catch((problem) => console.log(`     and the pair does not come back: ${problem.message}`));
    }
    for (const one of open) await one.context.close();
  }
  console.log(`${wanted.length - failed} passed, ${failed} failed`);
} catch (error) {
  failed += 1;
  console.error(error);
} finally {
  await world.browser?.close();
}
process.exit(failed === 0 ? 0 : 1);
