// The one sentence at the top: is the application running, and is it protected?
import type { ModuleStatus, NodeStatus } from './api';
import { text } from './words.svelte';

/** Something comes on each channel every second. */
export const CHANNEL_SILENT_MS = 5000;

export type Level = 'good' | 'busy' | 'bad' | 'unknown';

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

/** `takeover`: after how long a silence the standby takes over, in words. */
export function verdict(name: string, sides: Side[], takeover: string): Verdict {
  const words = text().verdict;
  const serving = sides.find(serves);
  const other = sides.find((side) => side !== serving);
  const states = sides.map((side) => side.module.state);
  if (sides.some((side) => side.module.data === 'diverged')) {
    const runs = serving === undefined ? '' : words.runsOn(nodeName(serving));
    return { level: 'bad', headline: words.diverged(name), more: `${runs}${words.divergedMore}` };
  }
  if (serving !== undefined && other !== undefined) return served(name, serving, other);
  if (states.every((state) => state === 'STOP')) {
    return { level: 'bad', headline: words.stopped(name), more: words.stoppedMore };
  }
  if (states.every((state) => state === 'unknown')) {
    return { level: 'bad', headline: words.unknown(name), more: words.unknownMore };
  }
  const silent = sides.find((side) => side.module.state === 'unknown');
  const left = sides.find((side) => side !== silent);
  if (silent !== undefined && left?.module.state === 'SECOND') {
    const [here, there] = [nodeName(left), nodeName(silent)];
    // What forbids it says so in these words: no carrier, a gateway that is silent.
    const can = left.module.data === 'uptodate' && !left.module.reason.includes('does not take over') && left.module.switches?.failover !== false;
    return {
      level: 'bad', headline: words.overdue(there),
      more: can ? words.overdueMore(here, there, takeover) : words.overdueCannot(name, here, left.module.reason),
    };
  }
  if (sides.some((side) => side.module.colour === 'magenta')) {
    const moves = states.includes('SECOND');
    return { level: 'busy', headline: moves ? words.moving(name) : words.starting(name), more: words.movingMore };
  }
  if (sides.every((side) => side.module.record === null)) {
    return { level: 'bad', headline: words.firstStart(name), more: words.firstStartMore };
  }
  return { level: 'bad', headline: words.down(name), more: words.downMore };
}

/** One of them serves. */
function served(name: string, serving: Side, other: Side): Verdict {
  const words = text().verdict;
  const [here, there] = [nodeName(serving), nodeName(other)];
  const [holder, second] = [serving.module, other.module];
  if (holder.colour === 'red') {
    return { level: 'bad', headline: words.down(name), more: words.brokenMore(here, holder.reason) };
  }
  if (holder.state === 'PRIM' && holder.colour === 'green' && second.state === 'SECOND'
    && second.colour === 'green' && second.data === 'uptodate') {
    return { level: 'good', headline: words.protected(name), more: words.protectedMore(here, there) };
  }
  const percent = second.resync_percent ?? holder.resync_percent;
  if (percent !== null && other.node.answers) {
    return { level: 'busy', headline: words.resyncing(name, `${percent} %`), more: words.resyncingMore(here, there) };
  }
  if (holder.colour === 'magenta') {
    return { level: 'busy', headline: words.moving(name), more: words.movingMore };
  }
  if (second.state === 'unknown') {
    return { level: 'bad', headline: words.alone(name), more: words.aloneSilent(here, there) };
  }
  // Data comes over: the copy is being completed, or is complete and about to be recorded so.
  if (holder.state === 'ALONE' && second.state === 'SECOND' && serving.node.answers && holder.mirror.peer !== 'absent') {
    return { level: 'busy', headline: words.resyncing(name, null), more: words.resyncingMore(here, there) };
  }
  if (holder.state === 'PRIM' && second.colour === 'magenta') {
    return { level: 'busy', headline: words.settling(name), more: words.settlingMore(here, there, second.reason) };
  }
  return { level: 'bad', headline: words.alone(name), more: words.aloneMore(here, words.is[second.state]?.(there) ?? there) };
}

/** What is known while the node that shows this page does not answer. */
export function unseen(name: string, who: string, said: Verdict, ago: string): Verdict {
  const words = text().verdict;
  return { level: 'unknown', headline: text().connection.lost(who), more: words.unseenMore(name, ago, said.headline) };
}
