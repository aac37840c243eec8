// Pages of the history, newest first, read again when there is news.
import { ask, Refused, type PastEntry } from './api';
import { cluster } from './cluster.svelte';

const PAGE = 200;
/** What is gathered before it is read again. */
const AGAIN_MS = 700;

export class Past {
  entries = $state<PastEntry[]>([]);
  more = $state(false);
  problem = $state('');
  #module = '';
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Any change of a state is news too. */
  #faces = $derived(cluster.sides(cluster.module).map((side) => `${side.module.state}${side.module.colour}${side.module.data}`).join());

  async load(module: string): Promise<void> {
    if (module !== this.#module) this.entries = [];
    this.#module = module;
    await this.#get((fresh) => {
      const known = this.entries.filter((entry) => !fresh.some((one) => one.id === entry.id) && entry.id < (fresh.at(-1)?.id ?? 0));
      if (known.length === 0) this.more = fresh.length === PAGE;
      this.entries = [...fresh, ...known];
    });
  }

  async older(): Promise<void> {
    const before = this.entries.at(-1)?.id;
    await this.#get((fresh) => {
      this.entries = [...this.entries, ...fresh];
      this.more = fresh.length === PAGE;
    }, before);
  }

  async #get(take: (entries: PastEntry[]) => void, before?: number): Promise<void> {
    const query = new URLSearchParams({ module: this.#module, limit: String(PAGE) });
    if (before !== undefined) query.set('before', String(before));
    try {
      take(await ask<PastEntry[]>('GET', `/api/v1/history?${query}`));
      this.problem = '';
    } catch (error) {
      this.problem = error instanceof Refused ? error.message : '';
    }
  }

  /** Call in a component's effect: reads at once, and a moment after it whenever there is news. */
  follow(): void {
    void cluster.module;
    void cluster.news;
    void this.#faces;
    // Never put off by what comes meanwhile: a busy cluster has news all the time.
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.load(cluster.module);
    }, this.#module === cluster.module ? AGAIN_MS : 0);
  }
}
