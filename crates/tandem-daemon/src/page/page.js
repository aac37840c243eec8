// The plain page: both nodes, live. No framework, no request to anybody else, and the token stays
// in this tab (never in an address).
'use strict';

const KEY = 'tandem-token';
const HISTORY_MAX = 50;
const RETRY_MS = 1000;
const $ = (id) => document.getElementById(id);

let lastEvent = '';

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${unit ? count.toFixed(1) : count} ${units[unit]}`;
}

function seconds(ms) {
  return ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

function showNode(node, name) {
  const module = node.modules.find((one) => one.name === name) || {};
  const box = element('section', null, module.colour || 'red');
  box.append(element('h2', `node${node.node}: ${node.name} (${node.address})`));
  box.append(element('p', module.state || 'unknown', 'state'));
  const list = element('dl');
  const row = (word, text) => {
    if (text === undefined || text === null || text === '') return;
    list.append(element('dt', word), element('dd', text));
  };
  row('is', `${module.colour}, ${module.tone}`);
  row('data', module.data);
  row('reason', module.reason);
  row('advice', module.advice);
  row('warning', module.warning);
  if (!node.answers) {
    row('answers', node.silent_ms === null ? 'no, never' : `no, for ${seconds(node.silent_ms)}`);
  }
  for (const address of module.addresses || []) {
    row('address', `${address.address} on ${address.interface}: ${address.held ? 'here' : 'not here'}`);
  }
  for (const service of module.services || []) {
    row('service', `${service.name}: ${service.state}${service.reason ? `, ${service.reason}` : ''}`);
  }
  for (const checker of module.checkers || []) {
    row('checker', `${checker.name}: ${checker.state}${checker.reason ? `, ${checker.reason}` : ''}`);
  }
  const mirror = module.mirror || {};
  row('mirror', mirror.running ? mirror.role : 'does not run');
  row('fault', mirror.fault);
  if (mirror.verification) row('verify', mirror.verification.text);
  if (mirror.resync_total_bytes) {
    const left = mirror.resync_left_seconds;
    const rest = left === undefined || left === null ? '' : `, about ${seconds(left * 1000)} left`;
    row('compared', `${bytes(mirror.resync_done_bytes)} of ${bytes(mirror.resync_total_bytes)}, ` +
      `${bytes(mirror.resync_sent_bytes || 0)} differed${rest}`);
  }
  if (mirror.exposure_bytes) {
    row('only here', `${bytes(mirror.exposure_bytes)}, ${seconds(mirror.exposure_ms)}`);
  }
  for (const channel of module.channels || []) {
    row(channel.name, channel.heard_ms === null ? 'silent' : `heard ${seconds(channel.heard_ms)} ago`);
  }
  box.append(list);
  return box;
}

function showStatus(status) {
  const modules = status.nodes.flatMap((node) => node.modules);
  const names = [...new Set(modules.map((module) => module.name))];
  $('title').textContent = `${names.join(', ')} - ${status.cluster}`;
  $('difference').textContent = status.link_refused || status.configuration_differs || '';
  $('nodes').replaceChildren(...names.flatMap((name) => {
    const nodes = status.nodes.map((node) => showNode(node, name));
    return names.length > 1 ? [element('h2', name, 'module'), ...nodes] : nodes;
  }));
  const all = status.nodes.flatMap((node) => node.modules.flatMap((module) =>
    (module.history || []).map((entry) => ({ node: node.node, module: module.name, entry }))));
  all.sort((a, b) => b.entry.at_ms - a.entry.at_ms);
  $('history').replaceChildren(...all.slice(0, HISTORY_MAX).map(({ node, module, entry }) => {
    const row = entry.row ? ` (row ${entry.row})` : '';
    const at = new Date(entry.at_ms).toLocaleString();
    const where = names.length > 1 ? `node${node} ${module}` : `node${node}`;
    return element('li', `${at} ${where}: ${entry.because}${row}`, entry.kind);
  }));
}

function login(message) {
  sessionStorage.removeItem(KEY);
  $('refused').textContent = message || '';
  $('cluster').hidden = true;
  $('login').hidden = false;
  $('token').focus();
}

// One server-sent event, as the lines between two blank ones.
function take(block) {
  let data = '';
  for (const line of block.split('\n')) {
    if (line.startsWith('id:')) lastEvent = line.slice(3).trim();
    if (line.startsWith('data:')) data += line.slice(5).trimStart();
  }
  if (!data) return;
  const event = JSON.parse(data);
  if (event.kind === 'status') showStatus(event);
}

async function follow(token) {
  const headers = { Authorization: `Bearer ${token}` };
  if (lastEvent) headers['Last-Event-ID'] = lastEvent;
  const answer = await fetch('/api/v1/events', { headers, cache: 'no-store' });
  if (answer.status === 401) return login('This is not the token of this cluster.');
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  $('login').hidden = true;
  $('cluster').hidden = false;
  $('connection').textContent = '';
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error('the stream ended');
    text += value;
    const blocks = text.split('\n\n');
    text = blocks.pop();
    blocks.forEach(take);
  }
}

async function run() {
  const token = sessionStorage.getItem(KEY);
  if (!token) return login();
  try {
    await follow(token);
  } catch {
    $('connection').textContent = 'This node does not answer. What stands here is old.';
    setTimeout(run, RETRY_MS);
  }
}

$('login').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $('token').value.trim());
  $('token').value = '';
  run();
});

// A link may carry the token behind the #, which no browser sends to a server. It does not stay in
// the address bar.
if (location.hash.startsWith('#token=')) {
  sessionStorage.setItem(KEY, decodeURIComponent(location.hash.slice('#token='.length)));
  history.replaceState(null, '', location.pathname);
}

run();
