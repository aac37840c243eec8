// Pictures of each screen of a real pair, into docs/screenshots: npm run screenshots [-- --quick]
import { fileURLToPath } from 'node:url';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from './browser.mjs';
import { enterOperatorsNetwork, Pair, until } from './pair.mjs';
import { proxy } from './proxy.mjs';

const out = process.env['OUT'] ?? fileURLToPath(new URL('../../docs/screenshots', import.meta.url));
const quick = process.argv.includes('--quick');
const name = enterOperatorsNetwork(fileURLToPath(import.meta.url));
if (name !== null) {
  const pair = new Pair(name);
  let browser;
  try {
    mkdirSync(out, { recursive: true });
    await pair.build();
    pair.tandemWith('correct horse battery\n', 1, 'user', 'add', 'admin', '--role', 'admin');
    pair.tandemWith('correct horse battery\n', 1, 'user', 'add', 'anna', '--role', 'monitor');
    let base = pair.url(1).replace(/\/$/, '');
    if (process.argv.includes('--proxy')) {
      await proxy(base, 5180);
      base = 'http://127.0.0.1:5180';
    }
    browser = await launch();
    const faces = quick
      ? [['desktop', 'light', { width: 1360, height: 900 }], ['phone', 'dark', { width: 390, height: 844 }]]
      : [
        ['desktop', 'light', { width: 1360, height: 900 }], ['desktop', 'dark', { width: 1360, height: 900 }],
        ['phone', 'light', { width: 390, height: 844 }], ['phone', 'dark', { width: 390, height: 844 }],
      ];
    const tabs = [];
    for (const [device, scheme, viewport] of faces) {
      const context = await browser.newContext({ viewport, colorScheme: scheme, locale: 'en-GB', timezoneId: 'Europe/Berlin', deviceScaleFactor: device === 'phone' ? 2 : 1 });
      const page = await context.newPage();
      page.on('pageerror', (error) => console.error(`${device} ${scheme}: ${error}`));
      page.on('console', (message) => { if (message.type() === 'error') console.error(`${device} ${scheme}: ${message.text()}`); });
      tabs.push({ page, device, scheme });
    }
    const shoot = async (what, full = true) => {
      for (const { page, device, scheme } of tabs) {
        await page.screenshot({ path: join(out, `${what}-${device}-${scheme}.png`), fullPage: full });
      }
    };
    const each = async (work) => { for (const tab of tabs) await work(tab.page); };
    await each(async (page) => { await page.goto(`${base}/`); await page.getByLabel('User name').waitFor(); });
    await shoot('sign-in');
    await each(async (page) => {
      await page.getByLabel('User name').fill('admin');
      await page.getByLabel('Password').fill('correct horse battery');
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
      await page.getByRole('heading', { level: 1 }).waitFor();
    });
    await shoot('stopped');
    for (const node of [1, 2]) pair.tandem(node, 'start', '--no-wait');
    await pair.face(1, ['WAIT', 'red', 'not uptodate']);
    await pair.face(2, ['WAIT', 'red', 'not uptodate']);
    await each((page) => page.getByRole('heading', { name: 'videeos waits for its first start.' }).waitFor());
    await shoot('first-start');
    pair.tandem(1, 'prim');
    await pair.face(2, ['SECOND', 'green', 'uptodate']);
    await pair.face(1, ['PRIM', 'green', 'uptodate']);
    await each((page) => page.getByRole('heading', { name: 'videeos is protected.' }).waitFor());
    await new Promise((done) => setTimeout(done, 4000));
    await shoot('overview');
    await each(async (page) => { await page.getByRole('button', { name: 'Actions for node1 (castor)' }).click(); });
    await shoot('menu', false);
    await each(async (page) => {
      await page.getByRole('menuitem', { name: 'Swap', exact: true }).click();
      await page.getByRole('dialog').waitFor();
    });
    await shoot('question', false);
    await each(async (page) => { await page.getByRole('button', { name: 'Cancel' }).click(); });
    // One of them does it; all of them see it.
    const first = tabs[0].page;
    await first.getByRole('button', { name: 'Actions for node1 (castor)' }).click();
    await first.getByRole('menuitem', { name: 'Swap', exact: true }).click();
    await first.getByLabel('Reason').fill('kernel update on castor');
    await first.getByRole('button', { name: 'Confirm' }).click();
    await until('the swap ends', async () => (await first.locator('.job-state.done').count()) > 0);
    await first.screenshot({ path: join(out, 'progress-desktop-light.png') });
    await first.getByRole('button', { name: 'Close' }).click();
    await pair.face(1, ['SECOND', 'green', 'uptodate']);
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
    pair.kill(1);
    pair.cable(1, 'down');
    await pair.face(2, ['ALONE', 'green', 'uptodate']);
    console.log('node1 is dead');
  } catch (error) {
    console.error(error);
    for (const node of [1, 2]) try { console.error(pair.log(node).split('\n').slice(-15).join('\n')); } catch { /* no log */ }
    process.exitCode = 1;
  } finally {
    await browser?.close();
    await pair.end();
    process.exit();
  }
}
