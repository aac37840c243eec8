// What can be asked of a node and of a module, when, and what the question says.
import type { CommandName, Request, Role } from './api';
import { bytes, duration, guess } from './format';
import { loss, type Loss } from './loss';
import { nodeName, serves, type Side } from './verdict';
import { text } from './words.svelte';

type Switch = 'switchFailover' | 'switchCheckers' | 'switchBoot';
type Plain = Exclude<CommandName, 'failover' | 'checkers' | 'boot'> | 'force' | 'fullSync' | 'estimate' | 'startAll' | 'stopAll';
export type ActionName = Plain | Switch;

/** Where it stands in a menu. */
export type Group = 'usual' | 'expert' | 'admin';

export interface Question {
  title: string;
  what: string;
  services: string | null;
  loss: Loss;
  danger: boolean;
  /** What has to be ticked before it can be confirmed. */
  check: string | null;
}

export interface Action {
  name: ActionName;
  label: string;
  group: Group;
  possible: boolean;
  why: string | null;
  requests: Request[];
  /** The same for the other node, if it is ticked. */
  also: { label: string; requests: Request[] } | null;
  question: Question;
}

const EXPERT: ActionName[] = ['stopstart', 'force', 'second', 'fullSync', 'verify', 'estimate'];

const RANK: Record<Role, number> = { monitor: 0, control: 1, admin: 2 };

export function nodeActions(side: Side, other: Side | undefined, role: Role): Action[] {
  const state = side.module.state;
  const names: Plain[] = ['start', 'stop', 'restart', 'swap'];
  if (state === 'STOP' || state === 'WAIT') names.push('prim');
  names.push('stopstart', 'force', 'second', 'fullSync', 'verify', 'estimate');
  return [...names.map((name) => nodeAction(name, side, other, role)), ...switchActions(side, other, role)];
}

function switchActions(side: Side, other: Side | undefined, role: Role): Action[] {
  const now = side.module.switches;
  if (now === null) return [];
  const words = text().switches;
  const all: [Switch, CommandName, boolean][] = [
    ['switchBoot', 'boot', now.boot_start],
    ['switchCheckers', 'checkers', now.checkers],
    ['switchFailover', 'failover', now.failover],
  ];
  const allowed = RANK[role] >= RANK.control;
  return all.map(([name, command, is]) => {
    const on = !is;
    const label = words[name][on ? 'turnOn' : 'turnOff'];
    return {
      name, label, group: 'admin', possible: allowed, why: allowed ? null : text().action.noRole,
      requests: [{ command, node: side.node.node, module: side.module.name, on }],
      also: name !== 'switchBoot' || other === undefined ? null : {
        label: text().confirm.also(nodeName(other)), requests: [{ command, node: other.node.node, module: side.module.name, on }],
      },
      question: {
        title: text().confirm.title(label, nodeName(side)), what: words[name][on ? 'on' : 'off'],
        services: null, loss: lossOf(name, side, other), danger: false, check: null,
      },
    };
  });
}

function nodeAction(name: Plain, side: Side, other: Side | undefined, role: Role): Action {
  const words = text().action;
  const state = side.module.state;
  const serving = serves(side);
  const halted = state === 'STOP' || state === 'WAIT' || state === 'unknown';
  const ready = other?.module.state === 'SECOND' && other.module.colour === 'green';
  const swappable = (state === 'PRIM' && ready) || (state === 'SECOND' && side.module.colour === 'green' && other?.module.state === 'PRIM');
  // `unknown`: the node may do what nobody sees, and it answers for itself.
  const possible: Record<Plain, boolean> = {
    start: state === 'STOP' || state === 'unknown',
    stop: state !== 'STOP',
    restart: serving,
    swap: swappable,
    stopstart: state !== 'STOP' && state !== 'WAIT',
    prim: halted && !(other !== undefined && serves(other)),
    force: halted && !(other !== undefined && serves(other)),
    second: halted,
    fullSync: (halted || state === 'SECOND') && other !== undefined && serves(other),
    verify: [side, other].some((one) => one?.module.state === 'PRIM' && one.module.colour === 'green'),
    estimate: [side, other].some((one) => one !== undefined && serves(one)),
    startAll: false,
    stopAll: false,
  };
  const need: Role = name === 'force' ? 'admin' : name === 'estimate' ? 'monitor' : 'control';
  const allowed = RANK[role] >= RANK[need];
  return {
    name,
    label: words[name],
    group: EXPERT.includes(name) ? 'expert' : 'usual',
    possible: possible[name] && allowed,
    why: allowed ? (possible[name] ? null : words.notNow) : words.noRole,
    requests: requests(name, side),
    also: null,
    question: ask(name, side, other),
  };
}

/** What the node is asked, if anything. */
function requests(name: Plain, side: Side): Request[] {
  const [node, module] = [side.node.node, side.module.name];
  switch (name) {
    case 'force':
      return [{ command: 'prim', node, module, force: true }];
    case 'fullSync':
      return [{ command: 'second', node, module, full_sync: true }];
    case 'verify':
      // Whoever serves carries it out.
      return [{ command: 'verify', module }];
    case 'estimate':
    case 'startAll':
    case 'stopAll':
      return [];
    case 'start':
    case 'stop':
    case 'restart':
    case 'stopstart':
    case 'swap':
    case 'prim':
    case 'second':
      return [{ command: name, node, module }];
  }
}

export function moduleActions(sides: Side[], role: Role): Action[] {
  const words = text().action;
  const module = sides[0]?.module.name ?? '';
  const allowed = RANK[role] >= RANK.control;
  const why = (possible: boolean) => (allowed ? (possible ? null : words.notNow) : words.noRole);
  const serving = sides.find(serves);
  const other = sides.find((side) => side !== serving);
  const someStopped = sides.some((side) => side.module.state === 'STOP');
  const someRuns = sides.some((side) => side.module.state !== 'STOP');
  // Who serves stops first: it needs the other one to bring both copies level.
  const inOrder = serving === undefined ? sides : [serving, ...sides.filter((side) => side !== serving)];
  const [first, second] = inOrder;
  if (first === undefined) return [];
  const ofModule = (name: Plain) => lossOf(name, first, second);
  const actions: Action[] = [
    {
      name: 'startAll', label: words.startAll, group: 'usual', possible: allowed && someStopped, why: why(someStopped),
      requests: sides.map((side) => ({ command: 'start', node: side.node.node, module })), also: null,
      question: { title: text().confirm.title(words.startAll, module), what: text().confirm.q.startAll, services: null, loss: ofModule('startAll'), danger: false, check: null },
    },
    {
      name: 'stopAll', label: words.stopAll, group: 'usual', possible: allowed && someRuns, why: why(someRuns),
      requests: inOrder.map((side) => ({ command: 'stop', node: side.node.node, module, whole: true })), also: null,
      question: { title: text().confirm.title(words.stopAll, module), what: text().confirm.q.stopAll, services: services(serving), loss: ofModule('stopAll'), danger: true, check: null },
    },
  ];
  if (serving !== undefined) {
    const swap = nodeAction('swap', serving, other, role);
    actions.push({ ...swap, question: { ...swap.question, title: text().confirm.title(words.swap, module) } });
  }
  return actions;
}

function lossOf(name: ActionName, side: Side, other: Side | undefined): Loss {
  return loss(name, side, other, text().confirm.loss, { bytes, duration, name: nodeName });
}

function services(side: Side | undefined): string | null {
  if (side === undefined || side.module.services.length === 0) return null;
  return text().confirm.services(side.module.services.map((service) => service.name).reverse().join(', '));
}

function ask(name: Plain, side: Side, other: Side | undefined): Question {
  const words = text().confirm;
  const [here, there] = [nodeName(side), other === undefined ? '' : nodeName(other)];
  const serving = serves(side);
  const question: Question = {
    title: words.title(text().action[name], here),
    what: '',
    services: serving && name !== 'start' ? services(side) : null,
    loss: lossOf(name, side, other),
    danger: false,
    check: null,
  };
  const ready = other?.module.state === 'SECOND' && other.module.colour === 'green';
  switch (name) {
    case 'start':
      return { ...question, what: words.q.startNode(here) };
    case 'stop':
      if (serving && ready) return { ...question, what: words.q.stopServing(here, there) };
      if (serving) return { ...question, what: words.q.stopLast(here), danger: true };
      if (side.module.state === 'SECOND') return { ...question, what: words.q.stopSecond(here, there) };
      return { ...question, what: words.q.stopOther(here) };
    case 'restart':
      return { ...question, what: words.q.restart(here) };
    case 'swap': {
      const [from, to] = side.module.state === 'SECOND' ? [there, here] : [here, there];
      const holder = side.module.state === 'SECOND' ? other : side;
      return { ...question, what: words.q.swap(from, to), services: services(holder) };
    }
    case 'stopstart':
      if (serving && ready) return { ...question, what: words.q.stopstartServing(here, there) };
      if (serving) return { ...question, what: words.q.stopstartAlone(here), danger: true };
      return { ...question, what: words.q.stopstart(here) };
    case 'prim':
      return { ...question, what: words.q.prim(here) };
    case 'force':
      return { ...question, what: words.q.force(here, there), danger: true, check: words.forceCheck(there) };
    case 'second': {
      const givesUp = question.loss.risk;
      return { ...question, what: words.q.second(here), danger: givesUp, check: givesUp ? words.giveUpCheck(here) : null };
    }
    case 'fullSync': {
      const givesUp = side.module.data === 'diverged' || side.module.divergence !== null;
      return { ...question, what: words.q.fullSync(here, there), danger: true, check: givesUp ? words.giveUpCheck(here) : null };
    }
    case 'verify':
      return { ...question, title: words.title(text().action.verify, side.module.name), what: words.q.verify, services: null };
    case 'estimate':
      return { ...question, title: text().action.estimate, what: estimate(serving ? side : other), services: null };
    case 'startAll':
    case 'stopAll':
      return question;
  }
}

/** What a comparison has to do: both copies are read; how fast that is, only one that ran tells. */
function estimate(holder: Side | undefined): string {
  const words = text().confirm.estimate;
  if (holder === undefined) return '';
  const { mirror } = holder.module;
  const { resync_done_bytes: done, resync_total_bytes: total, resync_bytes_per_second: rate } = mirror;
  if (done !== null && total !== null) {
    const left = mirror.resync_left_seconds;
    return words.running(bytes(done), bytes(total), bytes(mirror.resync_sent_bytes ?? 0), left === null ? null : guess(left));
  }
  const all = bytes(mirror.data_bytes);
  if (rate === null || rate === 0) return words.unmeasured(all);
  return words.measured(all, bytes(rate), guess(Math.ceil(mirror.data_bytes / rate)));
}
