// What this page knows of the cluster, who is signed in, and where in the page one is.
import { ask, Refused, useCommandToken, type ApiEvent, type ClusterStatus, type Job, type ModuleStatus, type NodeStatus, type SignedIn } from './api';
import { follow } from './events';

export type Page = 'overview' | 'control' | 'monitoring' | 'timeline' | 'users';
const PAGES: Page[] = ['overview', 'control', 'monitoring', 'timeline', 'users'];
/** Commands that this tab shows. */
const JOBS_MAX = 20;

/** A node that answers says something at least once a second. */
const SILENCE_MAX_MS = 3000;

class Cluster {
  status = $state<ClusterStatus | null>(null);
  /** When the status came, by this browser's clock. */
  at = $state(0);
  now = $state(Date.now());
  connection = $state<'waiting' | 'live' | 'lost'>('waiting');
  session = $state<SignedIn | null>(null);
  /** `null` until the node has said whether somebody is signed in. */
  signedOut = $state<{ usersExist: boolean; secure: boolean; ended: boolean } | null>(null);
  unreachable = $state(false);
  jobs = $state<Job[]>([]);
  page = $state<Page>('overview');
  chosen = $state<string | null>(null);
  /** Grows when the history has something new. */
  news = $state(0);

  #leave: (() => void) | null = null;
  #probing = false;

  get modules(): string[] {
    const names = this.status?.nodes.flatMap((node) => node.modules.map((module) => module.name)) ?? [];
    return [...new Set(names)];
  }

  get module(): string {
    const names = this.modules;
    return this.chosen !== null && names.includes(this.chosen) ? this.chosen : (names[0] ?? '');
  }

  get stale(): boolean {
    return this.connection === 'lost';
  }

  start(): void {
    setInterval(() => {
      this.now = Date.now();
      if (this.connection === 'live' && this.now - this.at > SILENCE_MAX_MS) void this.#probe();
    }, 1000);
    addEventListener('hashchange', () => this.#route());
    this.#token();
    this.#route();
    void this.look();
  }

  /** Asks the node whether somebody is signed in. */
  async look(): Promise<void> {
    try {
      this.#signedIn(await ask<SignedIn>('GET', '/api/v1/session'));
    } catch (error) {
      if (error instanceof Refused && error.status === 401) {
        const body = error.body as { users_exist?: boolean; secure?: boolean } | null;
        this.#signedOut(body?.users_exist ?? true, body?.secure ?? false, this.session !== null);
      } else {
        this.unreachable = true;
        setTimeout(() => void this.look(), 2000);
      }
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

  go(page: Page, module?: string): void {
    if (module !== undefined) this.chosen = module;
    location.hash = `/${page}${this.chosen === null ? '' : `/${encodeURIComponent(this.chosen)}`}`;
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

  /** A cable that was pulled closes no connection: the browser itself would notice in minutes. */
  async #probe(): Promise<void> {
    if (this.#probing) return;
    this.#probing = true;
    try {
      await ask('GET', '/api/v1/session', undefined, SILENCE_MAX_MS);
    } catch (error) {
      if (error instanceof Refused && error.status === 0) this.connection = 'lost';
      else void this.look();
    }
    this.#probing = false;
  }

  #route(): void {
    const [page, module] = location.hash.replace(/^#\//, '').split('/');
    this.page = PAGES.find((one) => one === page) ?? 'overview';
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
    this.#leave ??= follow({
      event: (event) => this.#take(event),
      connection: (state) => {
        this.connection = state;
        // Perhaps the session ended, not the node.
        if (state === 'lost') void this.look();
      },
    });
  }

  #signedOut(usersExist: boolean, secure: boolean, ended: boolean): void {
    this.#leave?.();
    this.#leave = null;
    this.session = null;
    this.status = null;
    this.jobs = [];
    this.connection = 'waiting';
    this.unreachable = false;
    this.signedOut = { usersExist, secure, ended };
  }

  #take(event: ApiEvent): void {
    switch (event.kind) {
      case 'status':
        this.status = event;
        this.at = Date.now();
        this.connection = 'live';
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
