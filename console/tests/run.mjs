// The console of a real pair, used by a real browser. Nothing is recorded or pretended.
// npm test [-- WORD]: only the cases whose names contain WORD.

import { fileURLToPath } from 'node:url';
import axe from 'axe-core';
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { launch } from './browser.mjs';
import { proxy } from './proxy.mjs';
import { enterOperatorsNetwork, Pair, until } from './pair.mjs';

const PASSWORD = 'correct horse battery';
/** A face follows its cause within this, on a loaded machine. */
const SOON = { timeout: 60_000 };
const only = process.argv[2] ?? '';

const cases = [];
const test = (name, work) => cases.push({ name, work });

/** A browser of somebody, with everything that went wrong in it. */
async function visitor(world, options = {}) {
  const context = await world.browser.newContext({ locale: 'en-GB', viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('console', (message) => {
    // A browser reports each answer that is an error; some are asked for on purpose.
    if (message.type() === 'error' && !message.text().includes('Failed to load resource')) wrong.push(message.text());
  });
  const foreign = [];
  page.on('request', (request) => {
    if (!/^(data|blob):|^http:\/\/(10\.97\.0\.[12]:9010|127\.0\.0\.1:518[12])\//.test(request.url())) foreign.push(request.url());
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

async function command(page, of, item, reason = '') {
  await page.getByRole('button', { name: `Actions for ${of}` }).click();
  await page.getByRole('menuitem', { name: item, exact: true }).click();
  const dialog = page.getByRole('dialog');
  const question = await dialog.textContent();
  if (reason !== '') await dialog.getByLabel('Reason').fill(reason);
  await dialog.getByRole('button', { name: 'Confirm' }).click();
  return { dialog, question };
}

async function close(page) {
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
}

test('a wrong password is refused and a right one is not', async ({ pair, visit }) => {
  const { page } = await visit();
  await signIn(page, pair.url(1), 'admin', 'wrong password');
  await page.getByRole('alert').filter({ hasText: 'wrong' }).waitFor();
  await signIn(page, pair.url(1), 'admin');
  await says(page, 'videeos is stopped on both nodes.');
});

test('the first start is asked for and done in the page', async ({ pair, visit }) => {
  const { page } = await visit();
  await signIn(page, pair.url(1), 'admin');
  await command(page, 'videeos', 'Start module', 'installation');
  await close(page);
  await says(page, 'videeos waits for its first start.');
  await page.getByRole('button', { name: 'Serve from here' }).first().click();
  await page.getByRole('dialog').getByRole('button', { name: 'Confirm' }).click();
  await page.locator('.job-state.done').first().waitFor(SOON);
  await close(page);
  await says(page, 'videeos is protected.');
  await becomes(page, 1, 'PRIM green uptodate');
  await becomes(page, 2, 'SECOND green uptodate');
});

test('no request leaves for anybody else, and the page obeys its own rule', async ({ pair, visit }) => {
  const { page, foreign, wrong } = await visit();
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));
  });
  await signIn(page, pair.url(2), 'admin');
  await says(page, 'videeos is protected.');
  for (const section of ['Control', 'Monitoring', 'Timeline', 'Users']) {
    await page.getByRole('link', { name: section, exact: true }).first().click();
    await page.waitForTimeout(500);
  }
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  assert.deepEqual(foreign, []);
  assert.deepEqual(wrong, []);
  const answer = await fetch(pair.url(2));
  const rule = answer.headers.get('content-security-policy');
  assert.ok(rule.includes("default-src 'none'") && !rule.includes('unsafe'), rule);
});

test('axe finds nothing, light and dark, on every screen', async ({ pair, visit }) => {
  for (const colorScheme of ['light', 'dark']) {
    // axe is put in from outside, which the page's own rule forbids.
    const { page } = await visit({ colorScheme, bypassCSP: true });
    await page.goto(pair.url(1));
    const look = async (what) => {
      await page.evaluate(axe.source);
      const { violations } = await page.evaluate(() => window.axe.run());
      const found = violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(' ')).join(', ')}`);
      assert.deepEqual(found, [], `${what}, ${colorScheme}`);
    };
    await page.getByLabel('User name').waitFor();
    await look('sign-in');
    await signIn(page, pair.url(1), 'admin');
    await says(page, 'videeos is protected.');
    await look('overview');
    await page.getByRole('button', { name: 'Actions for node1 (castor)' }).click();
    await look('menu');
    await page.getByRole('menuitem', { name: 'Stop', exact: true }).click();
    await look('question');
    await page.getByRole('button', { name: 'Cancel' }).click();
    for (const section of ['Control', 'Monitoring', 'Timeline', 'Users']) {
      await page.getByRole('link', { name: section, exact: true }).first().click();
      await page.waitForTimeout(800);
      await look(section);
    }
    await page.getByRole('link', { name: 'Control', exact: true }).click();
    for (const tab of ['Module log', 'System log', 'Command log', 'Information']) {
      await page.getByRole('tab', { name: tab }).click();
      await page.waitForTimeout(500);
      await look(tab);
    }
  }
});

test('the keyboard alone gives a command', async ({ pair, visit }) => {
  const { page } = await visit();
  await signIn(page, pair.url(1), 'admin');
  await says(page, 'videeos is protected.');
  await page.getByRole('button', { name: 'Actions for node1 (castor)' }).focus();
  await page.keyboard.press('ArrowDown');
  await page.waitForFunction(() => document.activeElement?.getAttribute('role') === 'menuitem');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Restart: node1 (castor)').waitFor();
  await page.keyboard.press('Enter');
  await page.locator('.job-state.done').waitFor(SOON);
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  await says(page, 'videeos is protected.');
});

test('a swap is asked, shown step by step, and written down with its reason', async ({ pair, visit }) => {
  const watcher = await visit();
  await signIn(watcher.page, pair.url(2), 'anna');
  await says(watcher.page, 'videeos is protected.');
  const { page } = await visit();
  await signIn(page, pair.url(1), 'admin');
  await says(page, 'videeos is protected.');
  const { dialog, question } = await command(page, 'node1 (castor)', 'Swap', 'kernel update');
  assert.match(question, /Services that end: management-server, sql-server/);
  assert.match(question, /Nothing that was acknowledged is lost: both copies are made equal first/);
  await page.locator('.job-state.done').waitFor(SOON);
  assert.ok((await dialog.locator('.steps li').count()) >= 3);
  await close(page);
  for (const one of [page, watcher.page]) {
    await becomes(one, 1, 'SECOND green uptodate');
    await becomes(one, 2, 'PRIM green uptodate');
  }
  await page.getByRole('link', { name: 'Control', exact: true }).click();
  await page.getByRole('tab', { name: 'Command log' }).click();
  const row = page.getByRole('row').filter({ hasText: 'kernel update' });
  await row.filter({ hasText: 'done' }).filter({ hasText: '10.97.0.9' }).waitFor(SOON);
  await page.getByRole('link', { name: 'Overview' }).click();
  await command(page, 'videeos', 'Swap');
  await page.locator('.job-state.done').waitFor(SOON);
  await close(page);
  await becomes(page, 1, 'PRIM green uptodate');
});

test('a node that is stopped and started shows what the manual says', async ({ pair, visit }) => {
  const { page } = await visit();
  await signIn(page, pair.url(2), 'admin');
  await says(page, 'videeos is protected.');
  // Every face that the page showed, in order.
  await page.evaluate(() => {
    window.faces = [];
    const look = () => {
      const now = [...document.querySelectorAll('.tree-node')].map((row) => {
        const data = row.querySelector('.data-word').textContent;
        return `${row.querySelector('.state-word').textContent} ${row.querySelector('.face').className.match(/green|magenta|red/)[0]} ${data.startsWith('resyncing') ? 'not uptodate' : data}`;
      }).join(' | ');
      if (window.faces.at(-1) !== now) window.faces.push(now);
    };
    look();
    new MutationObserver(look).observe(document.querySelector('.tree'), { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await command(page, 'node1 (castor)', 'Stop');
  await page.locator('.job-state.done').waitFor(SOON);
  await close(page);
  await becomes(page, 1, 'STOP red not uptodate');
  await becomes(page, 2, 'ALONE green uptodate');
  await says(page, 'videeos runs, but is not protected.');
  await command(page, 'node1 (castor)', 'Start');
  await close(page);
  await becomes(page, 1, 'SECOND green uptodate');
  await becomes(page, 2, 'PRIM green uptodate');
  await says(page, 'videeos is protected.');
  const faces = await page.evaluate(() => window.faces);
  console.log(`    ${faces.join('\n    ')}`);
  let at = 0;
  for (const expected of [
    'PRIM green uptodate | SECOND green uptodate',
    'STOP red not uptodate | ALONE green uptodate',
    'SECOND magenta not uptodate | ALONE green uptodate',
    'SECOND green uptodate | PRIM green uptodate',
  ]) {
    at = faces.indexOf(expected, at);
    assert.ok(at >= 0, `${expected} was not shown in its turn`);
  }
  await command(page, 'videeos', 'Swap');
  await page.locator('.job-state.done').waitFor(SOON);
  await close(page);
  await becomes(page, 1, 'PRIM green uptodate');
});

test('roles are refused by the page and by the node', async ({ pair, visit }) => {
  const { page, context } = await visit();
  await signIn(page, pair.url(1), 'anna');
  await says(page, 'videeos is protected.');
  await page.getByRole('button', { name: 'Actions for node1 (castor)' }).click();
  assert.equal(await page.getByRole('menuitem', { name: 'Swap' }).getAttribute('aria-disabled'), 'true');
  assert.equal(await page.getByRole('link', { name: 'Users' }).count(), 0);
  const token = (await (await context.request.get(pair.url(1, '/api/v1/session'))).json()).command_token;
  const forced = await context.request.post(pair.url(1, '/api/v1/command'), { data: { command: 'swap' }, headers: { 'x-tandem-command': token } });
  assert.equal(forced.status(), 403);
});

test('a user made on one node signs in on the other, and a removed one is out at once', async ({ pair, visit }) => {
  const admin = await visit();
  await signIn(admin.page, pair.url(1), 'admin');
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
  await until('node2 knows bert', async () => JSON.stringify(await (await pair.ask(2, '/api/v1/users')).json()).includes('bert'));
  await signIn(bert.page, pair.url(2), 'bert');
  await says(bert.page, 'videeos is protected.');
  await admin.page.getByRole('row').filter({ hasText: 'bert' }).getByRole('button', { name: 'Remove' }).click();
  await dialog.getByRole('button', { name: 'Confirm' }).click();
  await bert.page.getByText('Your session has ended.').waitFor(SOON);
});

test('German, with state words as they are', async ({ pair, visit }) => {
  const { page } = await visit({ locale: 'de-DE' });
  await signIn(page, pair.url(1), 'admin');
  await says(page, 'videeos ist geschützt.');
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'de');
  await becomes(page, 1, 'PRIM green uptodate');
});

test('ten tabs of one browser keep one stream', async ({ pair, visit }) => {
  const { page, context } = await visit();
  await signIn(page, pair.url(1), 'admin');
  const pages = [page];
  for (let more = 1; more < 10; more += 1) {
    const tab = await context.newPage();
    await tab.goto(pair.url(1));
    pages.push(tab);
  }
  for (const tab of pages) await says(tab, 'videeos is protected.');
});

test('the page follows a power cut without a reload, and says what would be lost', async ({ pair, visit }) => {
  const { page } = await visit();
  await signIn(page, pair.url(2), 'admin');
  await says(page, 'videeos is protected.');
  await page.evaluate(() => { window.sameDocument = true; });
  pair.cable(1, 'down');
  pair.kill(1);
  await becomes(page, 2, 'ALONE green uptodate');
  await says(page, 'videeos runs, but is not protected.');
  await page.getByText('does not answer for').waitFor(SOON);
  await page.locator('.chip.address').filter({ hasText: '10.97.0.100' }).waitFor(SOON);
  await page.locator('.flow .debt').filter({ hasText: /MB|kB/ }).waitFor(SOON);
  console.log(`    ${await page.locator('.flow .debt').textContent()}`);
  pair.cable(1, 'up');
  await pair.boot(1);
  pair.startDaemon(1);
  await until('node1 can be started', async () => (await face(page, 1)).startsWith('STOP'));
  await command(page, 'node1 (castor)', 'Start', 'after the power cut');
  await close(page);
  await says(page, 'videeos is protected.');
  assert.equal(await page.locator('.flow .debt').count(), 0);
  assert.equal(await page.evaluate(() => window.sameDocument), true);
});

test('a node that stops answering its page says so at once', async ({ pair, visit }) => {
  const { page } = await visit();
  await signIn(page, pair.url(1), 'admin');
  await says(page, 'videeos is protected.');
  pair.cable(1, 'down');
  // The browser's own connection is the one that is silent.
  await page.getByText('does not answer at present').waitFor({ timeout: 45_000 });
  pair.cable(1, 'up');
  await page.getByText('does not answer at present').waitFor({ state: 'hidden', timeout: 60_000 });
});

test('many connections, slow requests and huge bodies keep no heartbeat from anybody', async ({ pair }) => {
  const before = (await pair.status(2)).nodes.map((node) => node.modules[0].state).join();
  const sockets = [];
  for (let count = 0; count < 2000; count += 1) {
    const socket = net.connect(9010, pair.addresses[1]);
    socket.on('error', () => undefined);
    if (count % 2 === 0) socket.write('GET /api/v1/status HTTP/1.1\r\nhost: x\r\nx-slow: ');
    sockets.push(socket);
  }
  const huge = http.request(pair.url(1, '/api/v1/session'), { method: 'POST', headers: { 'content-type': 'application/json' } });
  huge.on('error', () => undefined);
  for (let megabytes = 0; megabytes < 32; megabytes += 1) huge.write('x'.repeat(1 << 20));
  for (let look = 0; look < 20; look += 1) {
    const status = await pair.status(2);
    assert.ok(status.nodes.every((node) => node.answers), 'both daemons talk to each other');
    assert.equal(status.nodes.map((node) => node.modules[0].state).join(), before);
    await new Promise((done) => setTimeout(done, 250));
  }
  for (const socket of sockets) socket.destroy();
  huge.destroy();
  await until('node1 answers again', () => pair.answers(1));
});

const name = enterOperatorsNetwork(fileURLToPath(import.meta.url));
if (name !== null) {
  const pair = new Pair(name);
  const world = { pair, browser: null };
  let failed = 0;
  try {
    await pair.build();
    if (process.env['TANDEM_PAGE'] === 'new') {
      // For work on the page: what was built last, in front of the nodes.
      for (const node of [1, 2]) await proxy(pair.url(node).replace(/\/$/, ''), 5180 + node);
      pair.pages = { 1: 'http://127.0.0.1:5181', 2: 'http://127.0.0.1:5182' };
    }
    for (const [who, role] of [['admin', 'admin'], ['anna', 'monitor']]) {
      pair.tandemWith(`${PASSWORD}\n`, 1, 'user', 'add', who, '--role', role);
    }
    await until('node2 knows the users', async () => JSON.stringify(await (await pair.ask(2, '/api/v1/users')).json()).includes('anna'));
    world.browser = await launch();
    const wanted = cases.filter((one) => one.name.includes(only));
    // Cases go on where the one before them ended; one alone begins with a pair that serves.
    if (cases.indexOf(wanted[0]) > 1) await pair.firstStart();
    for (const { name: title, work } of wanted) {
      const open = [];
      const visit = async (options) => {
        const one = await visitor(world, options);
        open.push(one);
        return one;
      };
      const begun = Date.now();
      try {
        await work({ pair, visit });
        for (const one of open) assert.deepEqual(one.wrong, [], 'errors in the page');
        console.log(`ok      ${title} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED  ${title}: ${error.stack}`);
        for (const [at, one] of open.entries()) await one.page.screenshot({ path: `/tmp/failed-${failed}-${at}.png` }).catch(() => undefined);
      }
      for (const one of open) await one.context.close();
    }
    console.log(`${wanted.length - failed} passed, ${failed} failed`);
  } catch (error) {
    failed += 1;
    console.error(error);
    for (const node of [1, 2]) try { console.error(pair.log(node).split('\n').slice(-20).join('\n')); } catch { /* no log */ }
  } finally {
    await world.browser?.close();
    await pair.end();
    process.exit(failed === 0 ? 0 : 1);
  }
}
