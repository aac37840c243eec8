// Pages of the history, newest first, read again when there is news.
import { ask, Refused, type PastEntry } from './api';
import { cluster } from './cluster.svelte';

const PAGE = 200;

export class Past {
  entries = $state<PastEntry[]>([]);
  more = $state(false);
  problem = $state('');
  #module = '';

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

  /** Call in a component's effect: reads at once and, a moment after it, at each piece of news. */
  follow(): () => void {
    const module = cluster.module;
    void cluster.news;
    // Any change of a state is news too.
    void cluster.sides(module).map((side) => `${side.module.state}${side.module.colour}${side.module.data}`).join();
    const timer = setTimeout(() => void this.load(module), this.entries.length === 0 ? 0 : 700);
    return () => clearTimeout(timer);
  }
}
