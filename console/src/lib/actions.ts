// What can be asked of a node and of a module, when, and what the question says.
import type { CommandName, Request, Role } from './api';
import { bytes, duration } from './format';
import { loss, type Loss } from './loss';
import { nodeName, serves, type Side } from './verdict';
import { text } from './words.svelte';

type Switch = 'switchFailover' | 'switchCheckers' | 'switchBoot';
type Plain = Exclude<CommandName, 'failover' | 'checkers' | 'boot'> | 'force' | 'startAll' | 'stopAll';
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
  question: Question;
}

const RANK: Record<Role, number> = { monitor: 0, control: 1, admin: 2 };

export function nodeActions(side: Side, other: Side | undefined, role: Role): Action[] {
  const state = side.module.state;
  const names: Plain[] = ['start', 'stop', 'restart', 'swap'];
  if (state === 'STOP' || state === 'WAIT') names.push('prim');
  names.push('stopstart', 'second', 'force');
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
    startAll: false,
    stopAll: false,
  };
  const need: Role = name === 'force' ? 'admin' : 'control';
  const allowed = RANK[role] >= RANK[need];
  const request: Request = { command: name === 'force' ? 'prim' : (name as CommandName), node: side.node.node, module: side.module.name };
  if (name === 'force') request.force = true;
  return {
    name,
    label: words[name],
    group: ['stopstart', 'force', 'second'].includes(name) ? 'expert' : 'usual',
    possible: possible[name] && allowed,
    why: allowed ? (possible[name] ? null : words.notNow) : words.noRole,
    requests: [request],
    question: ask(name, side, other),
  };
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
      requests: sides.map((side) => ({ command: 'start', node: side.node.node, module })),
      question: { title: text().confirm.title(words.startAll, module), what: text().confirm.q.startAll, services: null, loss: ofModule('startAll'), danger: false, check: null },
    },
    {
      name: 'stopAll', label: words.stopAll, group: 'usual', possible: allowed && someRuns, why: why(someRuns),
      requests: inOrder.map((side) => ({ command: 'stop', node: side.node.node, module, whole: true })),
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
    case 'startAll':
    case 'stopAll':
      return question;
  }
}
