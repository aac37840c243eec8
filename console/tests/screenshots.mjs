// Pictures of each screen of a real pair on the test hosts, into docs/screenshots:
// `tandem-lab console --pictures` runs it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from './browser.mjs';
import { DATA, Lab, NAMES, until } from './lab.mjs';

const out = process.env['OUT'] ?? fileURLToPath(new URL('../../docs/screenshots', import.meta.url));
const PASSWORD = 'correct horse battery';
const lab = new Lab();
const taken = [];
let browser;
try {
  mkdirSync(out, { recursive: true });
  for (const old of readdirSync(out).filter((name) => name.endsWith('.png'))) rmSync(join(out, old));
  for (const [who, role] of [['admin', 'admin'], ['anna', 'monitor']]) await lab.addUser(who, PASSWORD, role);
  const base = lab.url(1).replace(/\/$/, '');
  browser = await launch();
  const [desktop, phone] = [{ width: 1360, height: 900 }, { width: 390, height: 844 }];
  const faces = [['desktop', 'light', desktop], ['desktop', 'dark', desktop], ['phone', 'light', phone], ['phone', 'dark', phone]];
  const tabs = [];
  for (const [device, scheme, viewport] of faces) {
    const context = await browser.newContext({ viewport, colorScheme: scheme, locale: 'en-GB', timezoneId: 'Europe/Berlin' });
    const page = await context.newPage();
    page.on('pageerror', (error) => console.error(`${device} ${scheme}: ${error}`));
    page.on('console', (message) => { if (message.type() === 'error') console.error(`${device} ${scheme}: ${message.text()}`); });
    tabs.push({ page, device, scheme });
  }
  const shoot = async (what, full = true) => {
    for (const { page, device, scheme } of tabs) {
      const path = join(out, `${what}-${device}-${scheme}.png`);
      const usual = page.viewportSize();
      // A screen that is as high as the page: what sticks to its edges stays there.
      if (full) {
        const height = await page.evaluate(() => document.documentElement.scrollHeight);
        await page.setViewportSize({ ...usual, height: Math.max(usual.height, height) });
      }
      await page.screenshot({ path });
      await page.setViewportSize(usual);
      taken.push(path);
    }
  };
  const each = async (work) => { for (const tab of tabs) await work(tab.page); };
  await each(async (page) => { await page.goto(`${base}/`); await page.getByLabel('User name').waitFor(); });
  await shoot('sign-in');
  await each(async (page) => {
    await page.getByLabel('User name').fill('admin');
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByRole('heading', { level: 1 }).waitFor();
  });
  await shoot('stopped');
  for (const node of [1, 2]) await lab.host(node, 'tandem start --no-wait');
  await lab.becomes(1, 'WAIT red not uptodate');
  await lab.becomes(2, 'WAIT red not uptodate');
  await each((page) => page.getByRole('heading', { name: 'videeos waits for its first start.' }).waitFor());
  await shoot('first-start');
  await lab.host(1, 'tandem prim');
  await lab.becomes(2, 'SECOND green uptodate');
  await lab.becomes(1, 'PRIM green uptodate');
  await each((page) => page.getByRole('heading', { name: 'videeos is protected.' }).waitFor());
  const says = (words) => each((page) => page.getByRole('heading', { level: 1 }).filter({ hasText: words }).waitFor({ timeout: 60_000 }));
  const close = (page) => page.getByRole('dialog').getByRole('button', { name: /^(Cancel|Close)$/ }).click();
  // A few points for the charts.
  await lab.host(1, `for part in 1 2 3 4 5 6; do dd if=/dev/urandom of=${DATA}/some bs=100k count=40 oflag=dsync status=none; sleep 1; done; rm ${DATA}/some`);
  await shoot('overview');
  await each((page) => page.getByRole('button', { name: `Actions for ${NAMES[1]}` }).click());
  await shoot('menu');
  await each(async (page) => {
    await page.getByRole('menuitem', { name: 'Swap', exact: true }).click();
    await page.getByRole('dialog').waitFor();
  });
  await shoot('question', false);
  await each(close);
  await each((page) => page.getByRole('button', { name: 'Actions for videeos' }).click());
  await shoot('module-menu', false);
  await each((page) => page.keyboard.press('Escape'));
  // Each of them does it in turn; all of them see it.
  for (const { page, device, scheme } of tabs) {
    await page.getByRole('button', { name: `Actions for ${NAMES[1]}` }).click();
    await page.getByRole('menuitem', { name: 'Swap', exact: true }).click();
    await page.getByLabel('Reason').fill('kernel update on h1');
    await page.getByRole('button', { name: 'Confirm' }).click();
    await until('the swap ends', async () => (await page.locator('.job-state.done').count()) > 0);
    const path = join(out, `progress-${device}-${scheme}.png`);
    await page.screenshot({ path });
    taken.push(path);
    await close(page);
    await says('videeos is protected.');
  }
  const filled = async (what, selector, full = true) => {
    await each((page) => page.locator(selector).first().waitFor());
    await shoot(what, full);
  };
  const section = (name) => each((page) => page.getByRole('link', { name, exact: true }).first().click());
  await section('Control');
  await filled('resources', 'main tbody tr');
  await each((page) => page.locator('main tbody button').first().click());
  await filled('resource-history', 'dialog[open] li', false);
  await each(close);
  for (const [tab, selector] of [['Module log', 'main .log li.state'], ['System log', '.journal time'], ['Command log', 'main tbody time'], ['Information', '.information dl']]) {
    await each((page) => page.getByRole('tab', { name: tab }).click());
    await filled(tab.toLowerCase().replace(' ', '-'), selector, false);
  }
  await section('Monitoring');
  await filled('monitoring', 'main canvas');
  await section('Timeline');
  await filled('timeline', 'main .log li.state');
  await section('Doctor');
  await tabs[0].page.getByRole('button', { name: /^Examine/ }).click();
  await tabs[0].page.getByText('Examined at').waitFor({ timeout: 90_000 });
  // The others find it when they come.
  await section('Overview');
  await section('Doctor');
  await filled('doctor', '.findings li');
  await section('Configuration');
  await each(async (page) => {
    const text = page.locator('textarea');
    await until('the file is shown', async () => (await text.inputValue()).includes('[[module]]'));
    await text.fill((await text.inputValue()).replace('name = "sql"', 'name = "sql"\nperiod = "2s"'));
    await page.getByRole('button', { name: 'Show what changes' }).click();
    // One after the other: two at a time are not looked at.
    await page.locator('section[aria-labelledby=plan]').waitFor();
  });
  await shoot('configuration');
  await section('Users');
  await filled('users', 'main tbody tr');
  await each((page) => page.getByRole('button', { name: 'Add user' }).click());
  await shoot('add-user', false);
  await each(close);
  await each((page) => page.locator('.account summary').click());
  await shoot('account', false);
  await each((page) => page.getByRole('button', { name: 'Change password' }).click());
  await shoot('password', false);
  await each(close);
  await section('Overview');
  await lab.host(2, 'tandem stop');
  await lab.host(1, `head -c 120M /dev/urandom >${DATA}/large; sync ${DATA}/large`);
  await lab.slowReplication('6 mbytes/second');
  await lab.host(2, 'tandem start --no-wait');
  await says(/not protected yet: [1-9]\d* %/);
  await shoot('resynchronisation');
  await lab.heal();
  await says('videeos is protected.');
  await lab.host(1, `rm ${DATA}/large`);
  await lab.order('power', 2);
  await lab.becomes(1, 'ALONE green uptodate');
  await says('videeos runs, but is not protected.');
  await lab.host(1, `dd if=/dev/urandom of=${DATA}/some bs=1M count=12 oflag=dsync status=none`);
  await each((page) => page.locator('.flow .debt').waitFor());
  await each((page) => page.getByText('does not answer for').waitFor());
  await shoot('alone');
  await lab.order('boot', 2);
  await lab.home();
  await lab.cut(1, 9);
  await each((page) => page.getByText('does not answer at present').waitFor({ timeout: 60_000 }));
  await shoot('silent');
  await lab.heal();
  await each((page) => page.getByText('does not answer at present').waitFor({ state: 'hidden', timeout: 60_000 }));
  await lab.cut(1, 2);
  for (const node of [1, 2]) await lab.becomes(node, 'ALONE green uptodate');
  await lab.heal();
  await says('videeos has two different copies of its data.');
  await shoot('divergence');
  // Few colours: a quarter of the bytes, and nobody sees it.
  execFileSync('pngquant', ['--force', '--ext', '.png', '--strip', '64', ...taken]);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser?.close();
}
process.exit();
