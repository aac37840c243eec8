// The set-up of two fresh hosts in a real browser, as the end-to-end cases begin it: the package is
// installed on both, and `tandem setup browser` runs there and writes into /root/said. Given: the script
// that lists everything of a host that a set-up could change, and what is played.

import axe from 'axe-core';
import assert from 'node:assert/strict';
import { launch } from './browser.mjs';
import { CLIENT, DATA, Lab, UNIT, until } from './lab.mjs';

const PASSWORD = 'correct horse battery';
const SOON = { timeout: 60_000 };
/** Each node has its own turn of up to half a minute in these. */
const STEP = { timeout: 120_000 };
const [LISTING, PLAY] = process.argv.slice(2);
const CHOICE = { http: 'HTTP (Non-secure)', https: 'HTTPS (Secure)' };
/** The application takes this long to stop, so that there is time to cancel. */
const SLOW = `/etc/systemd/system/${UNIT}.d`;
const SLOW_STOP = `mkdir -p ${SLOW}; printf '[Service]\\nExecStop=/bin/sleep 4\\n' >${SLOW}/slow.conf; systemctl daemon-reload`;

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

async function secondary(page, transport) {
  await page.getByLabel('Configure the secondary computer').check();
  await next(page);
  await page.getByLabel(CHOICE[transport]).check();
  await next(page);
  await password(page, PASSWORD);
  await page.getByText('The secondary computer waits for the primary one').waitFor(STEP);
}

/** What is chosen where nobody chooses otherwise. `look`: at each sheet on the way. */
const GOOD = { typed: PASSWORD, transport: 'https', virtual: '10.99.0.100/24', look: async () => {} };

async function primary(page, choices) {
  const { typed, transport, virtual, look } = { ...GOOD, ...choices };
  await page.getByLabel('Configure the primary computer').check();
  await next(page);
  assert.equal(await page.getByLabel('What is to be protected').inputValue(), 'postgresql');
  await look(page, 'what is to be protected');
  await next(page);
  await page.getByLabel('The secondary computer is prepared').check();
  await page.getByLabel(CHOICE[transport]).check();
  await page.getByText('Passwords can be read on the network.').waitFor(SOON);
  await look(page, 'HTTP or HTTPS');
  await next(page);
  await page.getByLabel(/^Connect to the secondary computer/).fill('h2');
  await page.getByLabel(/^Virtual IPv4 address/).fill(virtual);
  await page.getByLabel(/^A second network/).fill('10.99.1.1,10.99.1.2');
  await look(page, 'the other computer');
  await next(page);
  await password(page, typed);
}

/** What is on both hosts now, of all that a set-up could change. */
const listed = async (node) => (await lab.host(node, `sh ${LISTING}`)).split('\n');
const both = async () => ({ 1: await listed(1), 2: await listed(2) });

async function unchanged(before, what) {
  for (const node of [1, 2]) {
    let differs = [];
    await until(`${what}: node${node} is as before`, async () => {
      const now = await listed(node);
      const less = before[node].filter((line) => !now.includes(line)).map((line) => `- ${line}`);
      const more = now.filter((line) => !before[node].includes(line)).map((line) => `+ ${line}`);
      differs = [...less, ...more];
      return differs.length === 0;
    }).catch((error) => { throw new Error(`${error.message}: ${differs.join('; ')}`); });
  }
}

/** Node1 is refused with these words, and says that it is as it was. */
async function refused(page, choices, words) {
  await primary(page, choices);
  await page.getByRole('alert').filter({ hasText: words }).waitFor(STEP);
  await page.getByText('This computer is as it was before.').waitFor(SOON);
}

/** The page has become the console, which lets the set-up's user in. */
async function becomesConsole(page, transport) {
  await next(page, 'Close');
  await page.waitForURL(`${transport}://**`, SOON);
  await page.getByLabel('User name').waitFor(SOON);
  const warned = await page.getByText('This connection is not encrypted').count();
  assert.equal(warned, transport === 'http' ? 1 : 0);
  await page.getByLabel('User name').fill('admin');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('heading', { level: 1 }).filter({ hasText: 'videeos is protected.' }).waitFor(SOON);
}

/** From the first step of node1 to the console of both, where node2 waits. */
async function works(one, two, transport) {
  const begun = Date.now();
  await primary(one, { transport });
  await one.getByText('The primary failover server is now set up.', { exact: true }).first().waitFor(STEP);
  await two.getByText('Now configure the primary computer').waitFor(STEP);
  await next(two, 'I have already configured the primary computer');
  await two.getByLabel('I have already configured the primary computer').check();
  await next(two);
  await two.getByText('The application is protected.').waitFor(STEP);
  console.log(`protected ${Math.round((Date.now() - begun) / 1000)} s after the first click on node1`);
}

/** Whoever has no code, an old one or a used one stays outside. Gives back the page of who has it. */
async function door(shown) {
  const stranger = await visit(2, AXE);
  await faultless(stranger, 'the code');
  await enter(stranger, 'AAAA-BBBB-CCCC');
  await stranger.getByRole('alert').filter({ hasText: 'The code is wrong' }).waitFor(SOON);
  const tried = await stranger.request.get(lab.url(2, '/api/v1/setup'));
  assert.equal(tried.status(), 401);
  const page = await visitWith(2, shown);
  await enter(stranger, shown);
  await stranger.getByRole('alert').filter({ hasText: 'The code is wrong' }).waitFor(SOON);
  await stranger.context().close();
  return page;
}

/** Cancelled, and taken back; then again, and the browser is closed meanwhile. Node2 waits at the end. */
async function secondaryInterrupted(before) {
  const shown = await code(2);
  let page = await door(shown);
  await secondary(page, 'https');
  await next(page, 'Cancel and take back');
  await page.getByText('This computer is as it was before.').waitFor(STEP);
  await unchanged(before, 'cancelled on node2');
  await next(page, 'Back');
  await secondary(page, 'https');
  await page.context().close();
  page = await visitWith(2, await code(2, shown));
  await page.getByText('The secondary computer waits for the primary one').waitFor(SOON);
  return page;
}

/** Everything that stands in node1's way while node2 waits. */
async function primaryInterrupted(page, before) {
  const again = async (what) => {
    await unchanged(before, what);
    await next(page, 'Back');
  };
  await refused(page, { typed: 'another password', look: faultless }, 'the password is not the one of the other computer');
  await faultless(page, 'a step that failed');
  await again('a wrong password');
  await refused(page, { transport: 'http' }, 'choose the same on both');
  await again('HTTP against HTTPS');
  await refused(page, { virtual: `${CLIENT}/24` }, `${CLIENT} is in use`);
  await again('an address in use');

  await lab.host(2, `systemctl stop ${UNIT}; mv ${DATA} ${DATA}.away`);
  await refused(page, {}, 'the other computer refuses');
  await lab.host(2, `mv ${DATA}.away ${DATA}; systemctl start ${UNIT}`);
  await again('the other computer is not ready');

  await lab.host(1, 'echo theirs >/var/lib/tandem/license');
  await primary(page, {});
  await page.getByRole('alert').filter({ hasText: "another cluster's licence" }).waitFor(STEP);
  await lab.host(1, 'grep -qx theirs /var/lib/tandem/license; rm /var/lib/tandem/license');
  await again('another licence');

  await lab.host(1, SLOW_STOP);
  await primary(page, {});
  await page.getByText('Stopping the application').waitFor(STEP);
  await next(page, 'Cancel and take back');
  await page.getByText('This computer is as it was before.').waitFor(STEP);
  await lab.host(1, `rm -r ${SLOW}; systemctl daemon-reload`);
  await again('cancelled on node1');
  console.log('7 interruptions, each as before');
}

const PLAYS = {
  async interrupted() {
    const before = await both();
    const two = await secondaryInterrupted(before);
    const one = await visitWith(1, await code(1), AXE);
    await primaryInterrupted(one, before);
    await works(one, two, 'https');
    await faultless(one, 'a step that is done');
    return { one, two, transport: 'https' };
  },

  /** Nothing is in the way. */
  async http() {
    const two = await visitWith(2, await code(2));
    await secondary(two, 'http');
    const one = await visitWith(1, await code(1));
    await works(one, two, 'http');
    return { one, two, transport: 'http' };
  },
};

try {
  const { one, two, transport } = await PLAYS[PLAY]();
  for (const page of [one, two]) await becomesConsole(page, transport);
  assert.deepEqual(wrong, []);
} finally {
  await browser.close();
}
