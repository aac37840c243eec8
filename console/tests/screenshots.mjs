// Pictures of each screen of a real pair on the test hosts, into docs/screenshots:
// `tandem-lab console --pictures` runs it.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from './browser.mjs';
import { Lab, NAMES, until } from './lab.mjs';

const out = process.env['OUT'] ?? fileURLToPath(new URL('../../docs/screenshots', import.meta.url));
const PASSWORD = 'correct horse battery';
const lab = new Lab();
const taken = [];
let browser;
try {
  mkdirSync(out, { recursive: true });
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
      await page.screenshot({ path, fullPage: full });
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
  await new Promise((done) => setTimeout(done, 4000));
  await shoot('overview');
  await each(async (page) => { await page.getByRole('button', { name: `Actions for ${NAMES[1]}` }).click(); });
  await shoot('menu', false);
  await each(async (page) => {
    await page.getByRole('menuitem', { name: 'Swap', exact: true }).click();
    await page.getByRole('dialog').waitFor();
  });
  await shoot('question', false);
  await each(async (page) => { await page.getByRole('button', { name: 'Cancel' }).click(); });
  // One of them does it; all of them see it.
  const first = tabs[0].page;
  await first.getByRole('button', { name: `Actions for ${NAMES[1]}` }).click();
  await first.getByRole('menuitem', { name: 'Swap', exact: true }).click();
  await first.getByLabel('Reason').fill('kernel update on h1');
  await first.getByRole('button', { name: 'Confirm' }).click();
  await until('the swap ends', async () => (await first.locator('.job-state.done').count()) > 0);
  const progress = join(out, 'progress-desktop-light.png');
  await first.screenshot({ path: progress });
  taken.push(progress);
  await first.getByRole('button', { name: 'Close' }).click();
  await lab.becomes(1, 'SECOND green uptodate');
  for (const [section, what] of [['Control', 'resources'], ['Monitoring', 'monitoring'], ['Timeline', 'timeline'], ['Users', 'users']]) {
    await each(async (page) => { await page.getByRole('link', { name: section, exact: true }).click(); });
    await new Promise((done) => setTimeout(done, 2500));
    await shoot(what);
    if (section !== 'Control') continue;
    for (const tab of ['Module log', 'System log', 'Command log', 'Information']) {
      await each(async (page) => { await page.getByRole('tab', { name: tab }).click(); });
      await new Promise((done) => setTimeout(done, 1200));
      await shoot(tab.toLowerCase().replace(' ', '-'), false);
    }
  }
  await each(async (page) => { await page.getByRole('link', { name: 'Overview' }).click(); });
  await lab.order('power', 2);
  await lab.becomes(1, 'ALONE green uptodate');
  await each((page) => page.getByRole('heading', { name: 'videeos runs, but is not protected.' }).waitFor());
  await shoot('alone');
  await lab.order('boot', 2);
  await lab.home();
  await lab.cut(1, 2);
  for (const node of [1, 2]) await lab.becomes(node, 'ALONE green uptodate');
  await lab.heal();
  await each((page) => page.getByRole('heading', { name: 'videeos has two different copies of its data.' }).waitFor({ timeout: 60_000 }));
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
