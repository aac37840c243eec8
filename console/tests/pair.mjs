// A real pair of nodes on this machine: a cable, two disks, two machines in namespaces, and the
// product's own processes in them. Needs root. Nothing in it is recorded or pretended.
//
// This program runs in the third namespace, the operator's, which is the cable's switch; so the
// nodes are reached as from any other machine, and the machine's own network is not touched.

import { fileURLToPath } from 'node:url';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The longest wait for anything: a loaded machine is slow, not broken. */
const PATIENCE_MS = 90_000;
const DISK_BYTES = 256 << 20;
const binary = process.env['TANDEM_BIN'] ?? fileURLToPath(new URL('../../target/debug/tandem', import.meta.url));

const configuration = (directory) => `
[cluster]
name = "cluster1"
takeover-after = "2s"

[node1]
name = "castor"
address = "10.97.0.1"

[node2]
name = "pollux"
address = "10.97.0.2"

[[module]]
name = "videeos"

[[module.volume]]
name = "db"
path = "${directory}/data/volume"

[[module.address]]
address = "10.97.0.100/24"
interface = "eth0"

[[module.service]]
name = "sql-server"
start = "true"
stop = "true"

[[module.service]]
name = "management-server"
start = "${directory}/writer"
stop = "true"
ready = { command = "test -s ${directory}/data/volume/log" }
stop-limit = "1s"
`;

/** An application that writes a little all the time, as a log server does. */
const writer = (directory) => `#!/bin/sh
file=${directory}/data/volume/log
while :; do
    head -c 20000 /dev/urandom >>"$file" && sync "$file"
    [ "$(stat -c %s "$file")" -lt 20000000 ] || head -c 1000 /dev/urandom >"$file"
    sleep 0.1
done
`;

const run = (program, ...words) => execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

export async function until(what, condition, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${patience / 1000} s`);
    await sleep(50);
  }
}

/** The network namespace that this process has to be in; begins again in there if it is not. */
export function enterOperatorsNetwork(script) {
  if (process.env['TANDEM_OPERATOR'] !== undefined) return process.env['TANDEM_OPERATOR'];
  const name = `tc${process.pid}`;
  run('ip', 'netns', 'add', name);
  const child = spawn('nsenter', [`--net=/run/netns/${name}`, process.execPath, script, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, TANDEM_OPERATOR: name },
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code) => {
    run('ip', 'netns', 'del', name);
    process.exit(code ?? 1);
  });
  return null;
}

export class Pair {
  constructor(name) {
    this.name = name;
    this.directory = mkdtempSync(join(tmpdir(), 'tandem-pair-'));
    this.machines = {};
    this.addresses = { 1: '10.97.0.1', 2: '10.97.0.2' };
  }

  async build() {
    const { directory, name } = this;
    mkdirSync(join(directory, 'data'));
    writeFileSync(join(directory, 'tandem.toml'), configuration(directory));
    writeFileSync(join(directory, 'writer'), writer(directory), { mode: 0o755 });
    run('ip', 'link', 'set', 'lo', 'up');
    run('ip', 'link', 'add', 'br0', 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0');
    run('ip', 'addr', 'add', '10.97.0.9/24', 'dev', 'br0');
    run('ip', 'link', 'set', 'br0', 'up');
    for (const node of [1, 2]) {
      const net = `${name}n${node}`;
      run('ip', 'netns', 'add', net);
      run('ip', 'link', 'add', `p${node}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', net);
      run('ip', 'link', 'set', `p${node}`, 'master', 'br0', 'up');
      run('ip', '-n', net, 'addr', 'add', `${this.addresses[node]}/24`, 'dev', 'eth0');
      run('ip', '-n', net, 'link', 'set', 'eth0', 'up');
      run('ip', '-n', net, 'link', 'set', 'lo', 'up');
      mkdirSync(join(directory, `node${node}`));
      const disk = join(directory, `node${node}/disk`);
      writeFileSync(disk, '');
      truncateSync(disk, DISK_BYTES);
      run('mkfs.ext4', '-q', '-F', disk);
      await this.boot(node);
    }
    this.tandem(1, 'cluster', 'init', '--offline', this.state(1), this.state(2));
    for (const node of [1, 2]) {
      this.startDaemon(node);
      await until(`node${node} answers`, () => this.answers(node));
    }
  }

  state(node) {
    return join(this.directory, `node${node}/state`);
  }

  token() {
    return readFileSync(join(this.state(1), 'token'), 'utf8').trim();
  }

  url(node, path = '/') {
    return `${this.pages?.[node] ?? `http://${this.addresses[node]}:9010`}${path}`;
  }

  async boot(node) {
    const { directory, name } = this;
    const ready = join(directory, `node${node}/ready`);
    rmSync(ready, { force: true });
    rmSync(join(directory, `node${node}/run`), { recursive: true, force: true });
    const script = `mount -o loop ${directory}/node${node}/disk ${directory}/data && mkdir -p ${directory}/data/volume && touch ${ready} && while :; do sleep 1000 & wait $!; done`;
    const first = spawn('nsenter', [`--net=/run/netns/${name}n${node}`, 'unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script], { stdio: 'ignore' });
    await until(`node${node} boots`, () => existsSync(ready));
    const init = readFileSync(`/proc/${first.pid}/task/${first.pid}/children`, 'utf8').trim().split(' ')[0];
    this.machines[node] = { first, init };
  }

  #words(node, words) {
    const { directory } = this;
    return ['--target', this.machines[node].init, '--mount', '--net', '--pid', binary, ...words,
      '--config', join(directory, 'tandem.toml'), '--state-dir', this.state(node), '--runtime-dir', join(directory, `node${node}/run`)];
  }

  tandem(node, ...words) {
    return run('nsenter', ...this.#words(node, words));
  }

  /** For what reads its input. */
  tandemWith(input, node, ...words) {
    return execFileSync('nsenter', this.#words(node, words), { input, encoding: 'utf8' });
  }

  startDaemon(node) {
    const log = openSync(join(this.directory, `node${node}/daemon.log`), 'a');
    this.machines[node].daemon = spawn('nsenter', this.#words(node, ['daemon']), { stdio: ['ignore', log, log] });
  }

  log(node) {
    return readFileSync(join(this.directory, `node${node}/daemon.log`), 'utf8');
  }

  async ask(node, path, init = {}) {
    const headers = { authorization: `Bearer ${this.token()}`, ...(init.headers ?? {}) };
    return fetch(this.url(node, path), { ...init, headers, signal: AbortSignal.timeout(20_000) });
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

  /** Waits for state, colour and data column of a node, as `by` sees it. */
  async face(node, expected, by = node) {
    let last = '';
    return until(`node${node} becomes ${expected.join(' ')} (it is ${last})`, async () => {
      const status = await this.status(by);
      const module = status?.nodes.find((one) => one.node === node)?.modules[0];
      last = `${module?.state} ${module?.colour} ${module?.data}`;
      return last === expected.join(' ');
    });
  }

  /** The first start, by hand. */
  async firstStart() {
    for (const node of [1, 2]) this.tandem(node, 'start', '--no-wait');
    await this.face(1, ['WAIT', 'red', 'not uptodate']);
    this.tandem(1, 'prim');
    await this.face(2, ['SECOND', 'green', 'uptodate']);
    await this.face(1, ['PRIM', 'green', 'uptodate']);
  }

  cable(node, state) {
    run('ip', 'link', 'set', `p${node}`, state);
  }

  /** Ends a machine without a word. */
  kill(node) {
    const machine = this.machines[node];
    if (machine === undefined) return;
    delete this.machines[node];
    try { process.kill(Number(machine.init), 'SIGKILL'); } catch { /* it has ended */ }
    try { machine.first.kill('SIGKILL'); } catch { /* it has ended */ }
  }

  async end() {
    for (const node of [1, 2]) this.kill(node);
    await sleep(500);
    for (const node of [1, 2]) {
      try { run('ip', 'netns', 'del', `${this.name}n${node}`); } catch { /* not made */ }
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
