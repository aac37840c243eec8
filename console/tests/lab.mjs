// The pair on the test hosts: what an operator types on them, and what fate does to them.
// `tandem-lab console` made it, and runs this program in the network of the client.
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const execute = promisify(execFile);
/** The longest wait for anything: a loaded machine is slow, not broken. */
const PATIENCE_MS = 90_000;
/** As the configuration of the test hosts has them. */
export const NAMES = { 1: 'node1 (h1)', 2: 'node2 (h2)' };
export const VIRTUAL = '10.99.0.100';
export const CLIENT = '10.99.0.9';
export const UNIT = 'postgresql@15-main.service';
export const DATA = '/var/lib/postgresql/15/main';

// Each node signs its own certificate.
process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
process.removeAllListeners('warning');

export async function until(what, condition, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${patience / 1000} s`);
    await sleep(50);
  }
}

export class Lab {
  constructor() {
    this.tool = process.env['TANDEM_LAB_TOOL'];
    if (this.tool === undefined) throw new Error('this is run by `tandem-lab console`');
    this.scheme = 'http';
    this.addresses = { 1: '10.99.0.1', 2: '10.99.0.2' };
    this.secret = null;
  }

  async order(...words) {
    const { stdout } = await execute(this.tool, words.map(String), { maxBuffer: 1 << 24 });
    return stdout;
  }

  /** A line of shell on a host. */
  host(node, line) {
    return this.order('sh', node, 'sh', '-ec', line);
  }

  addUser(name, password, role) {
    return this.host(1, `echo '${password}' | tandem user add ${name} --role ${role}`);
  }

  /** Cuts what carries the data; heartbeats go on. */
  async cutReplication() {
    await this.order('block', 'tcp', 'dport', '9012');
    await this.order('block', 'tcp', 'sport', '9012');
  }

  /** Lets no more of the data through than this. */
  slowReplication(rate) {
    return this.order('block', 'tcp', 'dport', '9012', 'limit', 'rate', 'over', ...rate.split(' '));
  }

  /** Cuts everything between two of the hosts and the client, on both networks. */
  async cut(one, two) {
    for (const cable of ['p', 'q']) {
      await this.order('block', 'iifname', `${cable}${one}`, 'oifname', `${cable}${two}`);
      await this.order('block', 'iifname', `${cable}${two}`, 'oifname', `${cable}${one}`);
    }
  }

  heal() {
    return this.order('unblock');
  }

  url(node, path = '/') {
    return `${this.scheme}://${this.addresses[node]}:9010${path}`;
  }

  async ask(node, path) {
    this.secret ??= (await this.host(1, 'cat /var/lib/tandem/token')).trim();
    const headers = { authorization: `Bearer ${this.secret}` };
    return fetch(this.url(node, path), { headers, signal: AbortSignal.timeout(20_000) });
  }

  async status(node) {
    try {
      return await (await this.ask(node, '/api/v1/status')).json();
    } catch {
      return null;
    }
  }

  async answers(node) {
    return (await this.status(node)) !== null;
  }

  /** What a node says of itself: state, colour, data. */
  async face(node) {
    const module = (await this.status(node))?.nodes.find((one) => one.node === node)?.modules[0];
    return module === undefined ? 'no answer' : `${module.state} ${module.colour} ${module.data}`;
  }

  async becomes(node, expected) {
    let last = '';
    await until(`node${node} becomes ${expected}`, async () => (last = await this.face(node)) === expected)
      .catch((error) => { throw new Error(`${error.message} (last ${last})`); });
  }

  /** A pair that works, with node 1 as primary, whatever was before. */
  async home() {
    if (await this.face(1) === 'STOP red uptodate' && await this.face(2) === 'STOP red uptodate') await this.host(1, 'tandem start --all');
    for (const node of [1, 2]) {
      const face = await this.face(node);
      if (face.startsWith('STOP')) await this.host(node, 'tandem start --no-wait');
    }
    await until('the pair works', async () => {
      const faces = [await this.face(1), await this.face(2)].sort();
      return faces[0] === 'PRIM green uptodate' && faces[1] === 'SECOND green uptodate';
    });
    if ((await this.face(1)).startsWith('SECOND')) await this.host(1, 'tandem swap');
    await this.becomes(1, 'PRIM green uptodate');
    await this.becomes(2, 'SECOND green uptodate');
  }

  /** For a case that follows one that failed. */
  async repair() {
    await this.heal();
    for (const node of [1, 2]) {
      for (const network of [0, 1]) await this.order('cable', node, 'plug', network).catch(() => undefined);
      await this.host(node, `systemctl unmask ${UNIT}`).catch(() => this.order('boot', node));
    }
  }
}
