// What this page knows of the cluster, who is signed in, and where in the page one is.
import { ask, Refused, useCommandToken, type ApiEvent, type ClusterStatus, type Job, type ModuleStatus, type NodeStatus, type SignedIn } from './api';
import { follow } from './events';

export type Page = 'overview' | 'control' | 'monitoring' | 'timeline' | 'doctor' | 'configuration' | 'users';
const PAGES: Page[] = ['overview', 'control', 'monitoring', 'timeline', 'doctor', 'configuration', 'users'];
/** Commands that this tab shows. */
const JOBS_MAX = 20;

/** How long a node may take to say whether somebody is signed in, and when it is asked again. */
const LOOK_MAX_MS = 10_000;
const LOOK_AGAIN_MS = 2000;

class Cluster {
  status = $state<ClusterStatus | null>(null);
  /** When the status came, by this browser's clock. */
  at = $state(0);
  now = $state(Date.now());
  connection = $state<'waiting' | 'live' | 'lost'>('waiting');
  session = $state<SignedIn | null>(null);
  /** `null` until the node has said whether somebody is signed in. */
  signedOut = $state<{ usersExist: boolean; secure: boolean; settingUp: boolean; ended: boolean } | null>(null);
  unreachable = $state(false);
  jobs = $state<Job[]>([]);
  page = $state<Page>('overview');
  /** What of the page, where it has parts. */
  part = $state<string | null>(null);
  chosen = $state<string | null>(null);
  /** Grows when the history has something new. */
  news = $state(0);

  #leave: (() => void) | null = null;
  #looking: Promise<void> | null = null;

  modules: string[] = $derived([...new Set(this.status?.nodes.flatMap((node) => node.modules.map((module) => module.name)) ?? [])]);
  /** Derived, so that whoever depends on it is not begun anew by each status. */
  module: string = $derived(this.chosen !== null && this.modules.includes(this.chosen) ? this.chosen : (this.modules[0] ?? ''));

  get stale(): boolean {
    return this.connection === 'lost';
  }

  start(): void {
    setInterval(() => {
      this.now = Date.now();
      // Perhaps the session ended, not the node; a node that goes down may have said no such thing yet.
      if (this.stale) void this.look();
    }, 1000);
    addEventListener('hashchange', () => this.#route());
    this.#token();
    this.#route();
    void this.look();
  }

  /** Asks the node whether somebody is signed in, until it says. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => { this.#looking = null; });
    return this.#looking;
  }

  async #look(): Promise<void> {
    for (;;) {
      try {
        this.#signedIn(await ask<SignedIn>('GET', '/api/v1/session', undefined, LOOK_MAX_MS));
        return;
      } catch (error) {
        if (error instanceof Refused && error.status === 401) {
          const body = error.body as { users_exist?: boolean; secure?: boolean; setting_up?: boolean } | null;
          const ended = this.session !== null;
          this.#signedOut({ usersExist: body?.users_exist ?? true, secure: body?.secure ?? false, settingUp: body?.setting_up ?? false, ended });
          return;
        }
      }
      this.unreachable = true;
      await new Promise((again) => setTimeout(again, LOOK_AGAIN_MS));
    }
  }

  async signIn(credentials: { name: string; password: string } | { token: string }): Promise<void> {
    this.#signedIn(await ask<SignedIn>('POST', '/api/v1/session', credentials));
  }

  async signOut(everywhere: boolean): Promise<void> {
    await ask('DELETE', `/api/v1/session${everywhere ? '?everywhere=true' : ''}`).catch(() => undefined);
    this.session = null;
    void this.look();
  }

  /** Where a link to a page, or a part of one, leads. */
  way(page: Page, part?: string): string {
    return `#/${page}/${encodeURIComponent(this.module)}${part === undefined ? '' : `/${part}`}`;
  }

  /** Both nodes with one module. */
  sides(name: string): { node: NodeStatus; module: ModuleStatus }[] {
    return (this.status?.nodes ?? []).flatMap((node) => {
      const module = node.modules.find((one) => one.name === name);
      return module === undefined ? [] : [{ node, module }];
    });
  }

  takeJob(job: Job): void {
    const place = this.jobs.findIndex((one) => one.job === job.job);
    const known = this.jobs[place];
    // An answer may come after the event that says more.
    if (known !== undefined && (known.state !== 'running' || known.progress.length > job.progress.length)) return;
    if (known !== undefined) this.jobs[place] = job;
    else this.jobs = [job, ...this.jobs].slice(0, JOBS_MAX);
  }

  #route(): void {
    const [page, module, part] = location.hash.replace(/^#\//, '').split('/');
    this.page = PAGES.find((one) => one === page) ?? 'overview';
    this.part = part ?? null;
    if (module !== undefined && module !== '') this.chosen = decodeURIComponent(module);
  }

  /** A link may carry a token behind the #, which no browser sends. It does not stay there. */
  #token(): void {
    if (!location.hash.startsWith('#token=')) return;
    const token = decodeURIComponent(location.hash.slice('#token='.length));
    history.replaceState(null, '', location.pathname);
    void this.signIn({ token }).catch(() => undefined);
  }

  #signedIn(session: SignedIn): void {
    this.session = session;
    this.signedOut = null;
    this.unreachable = false;
    useCommandToken(session.command_token);
    // There is no cluster yet to follow.
    if (session.setting_up) return;
    this.#leave ??= follow({
      event: (event, at) => this.#take(event, at),
      connection: (state) => {
        this.connection = state;
        if (state === 'lost') void this.look();
      },
    });
  }

  #signedOut(how: NonNullable<Cluster['signedOut']>): void {
    this.#leave?.();
    this.#leave = null;
    this.session = null;
    this.status = null;
    this.jobs = [];
    this.connection = 'waiting';
    this.unreachable = false;
    this.signedOut = how;
  }

  #take(event: ApiEvent, at: number): void {
    switch (event.kind) {
      case 'status':
        this.status = event;
        this.at = at;
        break;
      case 'job':
        this.takeJob(event);
        this.news += 1;
        break;
      case 'history':
      case 'missed':
        this.news += 1;
        break;
    }
  }
}

export const cluster = new Cluster();
