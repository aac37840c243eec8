// The set-up of two fresh hosts in a real browser, as the end-to-end case begins it: the package is
// installed on both, and `tandem setup browser` runs there and writes into /root/said.

import axe from 'axe-core';
import assert from 'node:assert/strict';
import { launch } from './browser.mjs';
import { Lab, until } from './lab.mjs';

const PASSWORD = 'correct horse battery';
const SOON = { timeout: 60_000 };
/** Each node has its own turn of up to half a minute in these. */
const STEP = { timeout: 120_000 };

const lab = new Lab();
lab.scheme = 'https';
const browser = await launch();
const wrong = [];

/** The newest code on a host's terminal. */
async function code(node, not = '') {
  return until(`node${node} shows a code`, async () => {
    const said = await lab.host(node, 'cat /root/said');
    const found = [...said.matchAll(/^Code: (\S+)/gm)].at(-1)?.[1];
    return found === not ? undefined : found;
  });
}

/** What axe needs is put in from outside, which the page's own rule forbids: only such a visitor is looked at. */
const AXE = { bypassCSP: true };

async function visit(node, options = {}) {
  const context = await browser.newContext({ locale: 'en-GB', ignoreHTTPSErrors: true, ...options });
  const page = await context.newPage();
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('console', (message) => {
    // A browser reports each answer that is an error; some are asked for on purpose.
    if (message.type() === 'error' && !message.text().includes('Failed to load resource')) wrong.push(message.text());
  });
  await page.goto(lab.url(node));
  await page.getByText('This computer is not set up yet').waitFor(SOON);
  return page;
}

async function enter(page, shown) {
  await page.getByLabel('Code').fill(shown);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

async function visitWith(node, shown, options = {}) {
  const page = await visit(node, options);
  await enter(page, shown);
  await page.getByRole('heading', { name: `Set up Tandem on h${node}` }).waitFor(SOON);
  return page;
}

async function faultless(page, what) {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => window.axe.run());
  assert.deepEqual(violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(' ')).join(', ')}`), [], what);
}

const next = (page, name = 'Continue') => page.getByRole('button', { name, exact: true }).click();

async function password(page, typed) {
  await page.getByLabel('Password', { exact: true }).fill(typed);
  await page.getByLabel('Confirm password').fill(typed);
  await next(page, 'Set up');
}

async function secondary(page) {
  await page.getByLabel('Configure the secondary computer').check();
  await next(page);
  await page.getByLabel('HTTPS (Secure)').check();
  await next(page);
  await password(page, PASSWORD);
  await page.getByText('The secondary computer waits for the primary one').waitFor(STEP);
}

async function primary(page, typed) {
  await page.getByLabel('Configure the primary computer').check();
  await next(page);
  assert.equal(await page.getByLabel('What is to be protected').inputValue(), 'postgresql');
  await faultless(page, 'what is to be protected');
  await next(page);
  await page.getByLabel('The secondary computer is prepared').check();
  await page.getByLabel('HTTPS (Secure)').check();
  await faultless(page, 'HTTP or HTTPS');
  await next(page);
  await page.getByLabel(/^Connect to the secondary computer/).fill('h2');
  await page.getByLabel(/^Virtual IPv4 address/).fill('10.99.0.100/24');
  await page.getByLabel(/^A second network/).fill('10.99.1.1,10.99.1.2');
  await faultless(page, 'the other computer');
  await next(page);
  await password(page, typed);
}

/** The page has become the console, which lets the set-up's user in. */
async function becomesConsole(page) {
  await next(page, 'Close');
  await page.getByLabel('User name').waitFor(SOON);
  await page.getByLabel('User name').fill('admin');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

async function play() {
  // Whoever has no code, an old one or a used one stays outside.
  const first = await code(2);
  const stranger = await visit(2, AXE);
  await faultless(stranger, 'the code');
  await enter(stranger, 'AAAA-BBBB-CCCC');
  await stranger.getByRole('alert').filter({ hasText: 'The code is wrong' }).waitFor(SOON);
  const tried = await stranger.request.get(lab.url(2, '/api/v1/setup'));
  assert.equal(tried.status(), 401);
  let two = await visitWith(2, first);
  await enter(stranger, first);
  await stranger.getByRole('alert').filter({ hasText: 'The code is wrong' }).waitFor(SOON);
  await stranger.context().close();

  // Cancelled, and taken back; then again, and the browser is closed meanwhile.
  await secondary(two);
  await next(two, 'Cancel and take back');
  await two.getByText('This computer is as it was before.').waitFor(STEP);
  await next(two, 'Back');
  await secondary(two);
  await two.context().close();
  two = await visitWith(2, await code(2, first));
  await two.getByText('The secondary computer waits for the primary one').waitFor(SOON);

  const one = await visitWith(1, await code(1), AXE);
  await primary(one, 'another password');
  await one.getByRole('alert').filter({ hasText: 'the password is not the one of the other computer' }).waitFor(STEP);
  await one.getByText('This computer is as it was before.').waitFor(SOON);
  await faultless(one, 'a step that failed');
  await next(one, 'Back');
  const begun = Date.now();
  await primary(one, PASSWORD);
  await one.getByText('The primary failover server is now set up.', { exact: true }).first().waitFor(STEP);
  await two.getByText('Now configure the primary computer').waitFor(STEP);
  await next(two, 'I have already configured the primary computer');
  await two.getByLabel('I have already configured the primary computer').check();
  await next(two);
  await two.getByText('The application is protected.').waitFor(STEP);
  console.log(`protected ${Math.round((Date.now() - begun) / 1000)} s after the first click on node1`);
  await faultless(one, 'a step that is done');

  for (const page of [one, two]) {
    await becomesConsole(page);
    await page.getByRole('heading', { level: 1 }).filter({ hasText: 'videeos is protected.' }).waitFor(SOON);
  }
  assert.deepEqual(wrong, []);
}

try {
  await play();
} finally {
  await browser.close();
}
