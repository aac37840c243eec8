// What a confirmation says about data: one sentence, chosen by what both nodes say at that moment.
// A pure function of the state and of the words, so that each sentence is tested by itself.
import type { ActionName } from './actions';
import type { ModuleStatus, NodeStatus } from './api';

export interface Part {
  node: NodeStatus;
  module: ModuleStatus;
}

/** The sentences of a language; `here` is the node that is asked, `there` the other one. */
export interface LossWords {
  untouched: string;
  level: (there: string) => string;
  levelFirst: string;
  stays: (here: string) => string;
  exposed: (here: string, there: string, bytes: string, age: string) => string;
  onlyCopy: (here: string, there: string, data: string) => string;
  silentServing: (here: string, there: string) => string;
  hidden: (here: string) => string;
  second: (here: string, there: string) => string;
  secondIncomplete: (here: string, there: string) => string;
  idle: (here: string) => string;
  proven: (here: string, there: string) => string;
  behind: (here: string, there: string, data: string) => string;
  startSilent: (here: string, there: string) => string;
  allSilent: (silent: string, other: string) => string;
  firstStart: string;
  diverged: string;
  primFirst: (here: string, there: string) => string;
  primCurrent: (here: string) => string;
  primBehind: (here: string, there: string, data: string) => string;
  primSilent: (here: string, there: string) => string;
  primDiverged: (here: string, there: string) => string;
  forceSilent: (here: string, there: string) => string;
  forceBehind: (here: string, there: string, data: string) => string;
  forceMixed: (here: string, there: string) => string;
  forceCurrent: (here: string, there: string) => string;
  forceDiverged: (here: string, there: string, size: string) => string;
  follows: (here: string, there: string) => string;
  followsNobody: string;
  givesUp: (here: string, there: string, size: string) => string;
  compared: (here: string, there: string) => string;
}

/** How numbers and nodes are written. */
export interface Writing {
  bytes: (count: number) => string;
  duration: (ms: number) => string;
  name: (part: Part) => string;
}

export interface Loss {
  sentence: string;
  /** Acknowledged writes can be lost, now or by a second failure: it is shown as a warning. */
  risk: boolean;
}

const safe = (sentence: string): Loss => ({ sentence, risk: false });
const risky = (sentence: string): Loss => ({ sentence, risk: true });

const serves = (part: Part): boolean => part.module.state === 'PRIM' || part.module.state === 'ALONE';

function silent(part: Part | undefined): boolean {
  return part === undefined || !part.node.answers || part.module.state === 'unknown';
}

/** The standby has everything that is acknowledged, and acknowledgements wait for it. */
function level(holder: Part, other: Part | undefined): boolean {
  return holder.module.state === 'PRIM' && holder.module.mirror.exposure_bytes === 0
    && !silent(other) && other?.module.state === 'SECOND' && other.module.data === 'uptodate';
}

export function loss(name: ActionName, side: Part, other: Part | undefined, words: LossWords, writing: Writing): Loss {
  const here = writing.name(side);
  const there = other === undefined ? '' : writing.name(other);
  const diverged = [side, other].some((part) => part !== undefined && (part.module.data === 'diverged' || part.module.divergence !== null));
  const unrecorded = [side, other].every((part) => part === undefined || part.module.record === null);
  const { data, mirror } = side.module;
  switch (name) {
    case 'switchFailover':
    case 'switchCheckers':
    case 'switchBoot':
    case 'verify':
    case 'estimate':
      return safe(words.untouched);
    case 'start':
      if (diverged) return risky(words.diverged);
      if (silent(side)) return risky(words.hidden(here));
      if (silent(other)) return risky(words.startSilent(here, there));
      if (unrecorded) return safe(words.firstStart);
      return safe(data === 'uptodate' ? words.proven(here, there) : words.behind(here, there, data));
    case 'startAll': {
      if (diverged) return risky(words.diverged);
      const [quiet, loud] = silent(side) ? [here, there] : [there, here];
      if (silent(side) || silent(other)) return risky(words.allSilent(quiet, loud));
      return safe(unrecorded ? words.firstStart : words.proven(here, there));
    }
    case 'swap': {
      const [holder, taker] = serves(side) ? [side, other] : [other, side];
      if (holder === undefined || !serves(holder)) return safe(words.untouched);
      return level(holder, taker) ? safe(words.levelFirst) : holding(holder, taker, words, writing);
    }
    case 'stop':
    case 'stopstart':
      if (silent(side)) return risky(words.hidden(here));
      if (diverged) return risky(words.diverged);
      if (serves(side)) return holding(side, other, words, writing);
      if (other === undefined || !serves(other)) return safe(words.idle(here));
      return risky(data === 'uptodate' ? words.second(here, there) : words.secondIncomplete(here, there));
    case 'stopAll':
      if (diverged) return risky(words.diverged);
      if (silent(side)) return risky(words.hidden(here));
      if (!serves(side)) return safe(words.idle(here));
      return level(side, other) ? safe(words.levelFirst) : holding(side, other, words, writing);
    case 'restart':
      if (silent(side)) return risky(words.hidden(here));
      return level(side, other) ? safe(words.stays(here)) : holding(side, other, words, writing);
    case 'prim':
      if (diverged) return risky(words.primDiverged(here, there));
      if (silent(other)) return risky(words.primSilent(here, there));
      if (unrecorded) return risky(words.primFirst(here, there));
      return data === 'uptodate' ? safe(words.primCurrent(here)) : risky(words.primBehind(here, there, data));
    case 'force':
      if (mirror.inconsistent !== null || data === 'inconsistent') return risky(words.forceMixed(here, there));
      if (diverged) return risky(words.forceDiverged(here, there, writing.bytes(side.module.divergence?.theirs.data_bytes ?? other?.module.mirror.data_bytes ?? 0)));
      if (silent(other)) return risky(words.forceSilent(here, there));
      return risky(data === 'uptodate' ? words.forceCurrent(here, there) : words.forceBehind(here, there, data));
    case 'second':
      if (other === undefined || silent(other) || !serves(other)) return safe(words.followsNobody);
      if (diverged) return risky(words.givesUp(here, there, writing.bytes(side.module.divergence?.mine.data_bytes ?? mirror.data_bytes)));
      return safe(words.follows(here, there));
    case 'fullSync':
      if (other === undefined || silent(other) || !serves(other)) return safe(words.followsNobody);
      if (diverged) return risky(words.givesUp(here, there, writing.bytes(side.module.divergence?.mine.data_bytes ?? mirror.data_bytes)));
      return risky(words.compared(here, there));
  }
}

/** Of a node that serves and is about to stop, or to pause. */
function holding(side: Part, other: Part | undefined, words: LossWords, writing: Writing): Loss {
  const here = writing.name(side);
  const there = other === undefined ? '' : writing.name(other);
  const { exposure_bytes, exposure_ms } = side.module.mirror;
  if (exposure_bytes > 0) return risky(words.exposed(here, there, writing.bytes(exposure_bytes), writing.duration(exposure_ms)));
  if (silent(other)) return risky(words.silentServing(here, there));
  if (level(side, other)) return safe(words.level(there));
  return risky(words.onlyCopy(here, there, other?.module.data ?? ''));
}
