// The one sentence at the top: is the application running, and is it protected?
import type { ModuleStatus, NodeStatus } from './api';
import { text } from './words.svelte';

export type Level = 'good' | 'busy' | 'bad';

export interface Verdict {
  level: Level;
  headline: string;
  more: string;
}

export interface Side {
  node: NodeStatus;
  module: ModuleStatus;
}

export function nodeName(side: Side): string {
  return `${text().node(side.node.node)} (${side.node.name})`;
}

export function serves(side: Side): boolean {
  return side.module.state === 'PRIM' || side.module.state === 'ALONE';
}

export function verdict(name: string, sides: Side[]): Verdict {
  const words = text().verdict;
  const serving = sides.find(serves);
  const other = sides.find((side) => side !== serving);
  const states = sides.map((side) => side.module.state);
  if (sides.some((side) => side.module.data === 'diverged')) {
    return { level: 'bad', headline: words.diverged(name), more: words.divergedMore };
  }
  if (serving !== undefined && other !== undefined) {
    const [here, there] = [nodeName(serving), nodeName(other)];
    const green = serving.module.colour === 'green';
    if (serving.module.state === 'PRIM' && other.module.state === 'SECOND' && green
      && other.module.colour === 'green' && other.module.data === 'uptodate') {
      return { level: 'good', headline: words.protected(name), more: words.protectedMore(here, there) };
    }
    const percent = other.module.resync_percent ?? serving.module.resync_percent;
    if (percent !== null && other.node.answers) {
      return { level: 'busy', headline: words.resyncing(name, `${percent} %`), more: words.resyncingMore(here, there) };
    }
    if (serving.module.colour === 'magenta') {
      return { level: 'busy', headline: words.moving(name), more: words.movingMore };
    }
    if (serving.module.state === 'ALONE' || other.module.state !== 'SECOND') {
      return { level: 'bad', headline: words.alone(name), more: words.aloneMore(here, there) };
    }
    return { level: 'bad', headline: words.notReady(name), more: serving.module.colour === 'red' ? serving.module.reason : other.module.reason };
  }
  if (states.every((state) => state === 'STOP')) {
    return { level: 'bad', headline: words.stopped(name), more: words.stoppedMore };
  }
  if (states.every((state) => state === 'unknown')) {
    return { level: 'bad', headline: words.unknown(name), more: words.unknownMore };
  }
  if (sides.some((side) => side.module.colour === 'magenta')) {
    return { level: 'busy', headline: words.starting(name), more: words.movingMore };
  }
  if (sides.every((side) => side.module.record === null)) {
    return { level: 'bad', headline: words.firstStart(name), more: words.firstStartMore };
  }
  return { level: 'bad', headline: words.down(name), more: words.downMore };
}
