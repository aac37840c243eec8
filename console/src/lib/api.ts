// What the node says and takes, as crates/tandem-wire/src/api.rs has it, and the way there.

export type State = 'STOP' | 'WAIT' | 'ALONE' | 'PRIM' | 'SECOND' | 'unknown';
export type Colour = 'green' | 'magenta' | 'red';
export type Role = 'monitor' | 'control' | 'admin';
export type CommandName = 'start' | 'stop' | 'restart' | 'stopstart' | 'swap' | 'prim' | 'second' | 'failover' | 'checkers' | 'boot' | 'verify';

export interface ClusterStatus {
  cluster: string;
  answered_by: number;
  takeover_after_ms: number;
  configuration_differs: string | null;
  link_refused: string | null;
  nodes: NodeStatus[];
}

export interface NodeStatus {
  node: number;
  name: string;
  address: string;
  version: string;
  answers: boolean;
  silent_ms: number | null;
  certificate: Certificate | null;
  modules: ModuleStatus[];
}

export interface Certificate {
  subject: string;
  made_here: boolean;
  fingerprint: string;
  from_ms: number;
  until_ms: number;
}

export interface ModuleStatus {
  name: string;
  state: State;
  tone: string;
  colour: Colour;
  data: string;
  resync_percent: number | null;
  reason: string;
  advice: string | null;
  warning: string | null;
  state_age_ms: number;
  switches: Switches | null;
  restarts_used: number;
  divergence: Divergence | null;
  record: RecordStatus | null;
  permit: string;
  permit_left_ms: number | null;
  license: LicenseStatus;
  mirror: MirrorSummary;
  addresses: { address: string; interface: string; held: boolean }[];
  services: ResourceStatus[];
  checkers: ResourceStatus[];
  channels: ChannelStatus[];
  history: HistoryEntry[];
  volumes: VolumeStatus[];
}

export interface LicenseStatus {
  valid: boolean;
  text: string;
  warning: string | null;
  unlicensed_ms: number | null;
}

export interface OwnLicense {
  node: number;
  cluster: string;
  valid: boolean;
  text: string;
}

export interface VolumeStatus {
  name: string;
  files: number;
  bytes: number;
  newest_ms: number | null;
  whole: boolean;
}

export interface Switches {
  failover: boolean;
  checkers: boolean;
  boot_start: boolean;
}

export interface Divergence {
  mine: DivergedSide;
  theirs: DivergedSide;
  common: string | null;
  goes_on: number;
}

export interface DivergedSide {
  generation: string;
  epoch: number;
  data_bytes: number;
  serves: boolean;
}

export interface RecordStatus {
  version: number;
  epoch: number;
  holder: number;
  insync: number[];
  generation: string;
  confirmed: boolean;
  clean: boolean;
  forced: boolean;
}

export interface MirrorSummary {
  running: boolean;
  role: string;
  peer: string;
  gated: boolean;
  stalled: boolean;
  parked: boolean;
  fault: string | null;
  inconsistent: string | null;
  position: number;
  acknowledged: number;
  exposure_bytes: number;
  exposure_ms: number;
  resync_done_bytes: number | null;
  resync_total_bytes: number | null;
  resync_sent_bytes: number | null;
  resync_left_seconds: number | null;
  resync_bytes_per_second: number | null;
  sent_bytes: number;
  answer_us: number | null;
  data_bytes: number;
  verification: Verification | null;
}

export interface Verification {
  running: boolean;
  complete: boolean;
  percent: number;
  compared_bytes: number;
  differences: number;
  repaired: number;
  sent_bytes: number;
  text: string;
}

export interface ResourceStatus {
  name: string;
  state: string;
  reason: string | null;
}

export interface ChannelStatus {
  name: string;
  heard_ms: number | null;
  received: number;
  refused: number;
  unsent: number;
}

export interface HistoryEntry {
  at_ms: number;
  kind: string;
  row: number | null;
  because: string;
  inputs: string;
}

export type JobState = 'running' | 'done' | 'refused' | 'failed' | 'unreachable' | 'lost';

export interface Job {
  job: string;
  node: number;
  module: string;
  command: CommandName;
  begun: boolean;
  state: JobState;
  message: string;
  progress: string[];
  took_ms: number | null;
}

export type ApiEvent =
  | ({ kind: 'status' } & ClusterStatus)
  | { kind: 'history'; node: number; module: string; entry: HistoryEntry }
  | ({ kind: 'job' } & Job)
  | { kind: 'missed' };

export interface SignedIn {
  name: string;
  role: Role;
  command_token: string;
  ends_in_ms: number;
  secure: boolean;
  setting_up: boolean;
}

// As crates/tandem-daemon/src/setup/page.rs has them.

export type Transport = 'http' | 'https';
export type SetUpStep = 'secondary' | 'primary' | 'complete';

export interface Preset {
  name: string;
  description: string;
  refused: string | null;
  questions: { name: string; text: string; default: string | null }[];
}

export interface SetUpView {
  version: number;
  computer: string;
  presets: Preset[];
  node: number | null;
  console: Transport | null;
  work: { step: SetUpStep; state: 'running' | 'done' | 'failed'; lines: string[]; reason: string | null; taken_back: boolean } | null;
}

export type SetUpOrder =
  | { step: 'secondary'; console: Transport; password: string }
  | { step: 'primary'; console: Transport; password: string; preset: string; answers: Record<string, string>; peer: string; virtual_address: string; networks: [string, string][] }
  | { step: 'complete' | 'cancel' | 'close' };

export interface Account {
  name: string;
  role: Role;
  changed_at_ms: number;
}

export interface AuditEntry {
  at_ms: number;
  who: string;
  from: string;
  what: string;
  why: string | null;
  result: string;
}

export interface PastEntry {
  id: number;
  at_ms: number;
  node: number;
  module: string;
  kind: 'state' | 'decision' | 'alarm' | 'service' | 'checker' | 'address' | 'command';
  name: string;
  state: string;
  colour: string;
  data: string;
  because: string;
  inputs: string;
  row: number | null;
}

export type LogSource = 'daemon' | 'mirror' | 'application';

export interface LogLine {
  at_ms: number;
  unit: string;
  priority: number;
  text: string;
}

export interface LogLines {
  node: number;
  units: string[];
  lines: LogLine[];
  place: string | null;
  missed: boolean;
}

export interface Point {
  at_ms: number;
  changes: number;
  bytes: number;
  answer_us: number | null;
  waiting: number;
  exposure_bytes: number;
  exposure_ms: number;
  resync_bytes: number;
}

export type FoundVerdict = 'ok' | 'unknown' | 'warning' | 'failed';

export interface Found {
  check: string;
  node: number | null;
  verdict: FoundVerdict;
  what: string;
  remedy: string | null;
  fixable: boolean;
}

export interface Examination {
  at_ms: number;
  node: number;
  result: FoundVerdict;
  findings: Found[];
}

export interface ConfigurationFile {
  node: number;
  text: string;
  version: string;
}

export interface ConfigurationPlan {
  changes: { field: string; before: string | null; after: string | null; stops: string[] }[];
  lines: string[];
  refused: string | null;
}

export interface Application {
  node: number;
  at_ms: number;
  who: string;
  state: 'running' | 'done' | 'refused' | 'failed' | 'interrupted';
  lines: string[];
}

export interface Request {
  command: CommandName;
  node?: number;
  module?: string;
  force?: boolean;
  whole?: boolean;
  full_sync?: boolean;
  on?: boolean;
  why?: string;
}

/** What a node refused, or that it does not answer (status 0). */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly body: unknown = null,
  ) {
    super(message);
  }
}

let commandToken = '';

export function useCommandToken(token: string): void {
  commandToken = token;
}

/** The longest wait for an answer: the node's own limits are shorter. */
const ANSWER_MAX_MS = 30_000;

export async function ask<T>(method: string, path: string, body?: unknown, patienceMs = ANSWER_MAX_MS): Promise<T> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (method !== 'GET') headers['x-tandem-command'] = commandToken;
  const init: RequestInit = {
    method,
    headers,
    cache: 'no-store',
    credentials: 'same-origin',
    signal: AbortSignal.timeout(patienceMs),
  };
  if (body !== undefined) init.body = JSON.stringify(body);
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Refused(0, '');
  }
  const text = await answer.text();
  let value: unknown = null;
  try {
    value = text === '' ? null : JSON.parse(text);
  } catch {
    value = null;
  }
  if (!answer.ok) {
    const error = value as { error?: string; message?: string } | null;
    throw new Refused(answer.status, error?.error ?? error?.message ?? '', value);
  }
  return value as T;
}
