// The set-up of this computer, as far as it is: asked for again and again, so that a page that was
// closed and one that stayed open show the same.
import { ask, Refused, type SetUpOrder, type SetUpView } from './api';
import { cluster } from './cluster.svelte';

/** The server waits this long for news; a little more for the way. */
const NEWS_MAX_MS = 25_000;
const AGAIN_MS = 1000;
/** How often it is looked whether the console is there, and for how long at most. */
const CONSOLE_LOOK_MS = 500;
const CONSOLE_MAX_MS = 30_000;
/** The daemon takes the port within a fraction of this, once the set-up has left it. */
const PORT_MAX_MS = 2000;

const pause = (time: number) => new Promise((over) => setTimeout(over, time));

class SetUp {
  view = $state<SetUpView | null>(null);
  lost = $state(false);
  closing = $state(false);

  /** Follows until the page is closed; gives back what ends it. */
  follow(): () => void {
    let on = true;
    void (async () => {
      while (on && !this.closing) {
        try {
          const view = await ask<SetUpView>('GET', `/api/v1/setup?seen=${this.view?.version ?? 0}`, undefined, NEWS_MAX_MS);
          if (!on) return;
          this.view = view;
          this.lost = false;
        } catch (error) {
          if (error instanceof Refused && error.status === 401) {
            if (!this.closing) void cluster.look();
            return;
          }
          const work = this.view?.work;
          // After the last step the page's server leaves by itself, and the console takes its place.
          if (this.lost && work?.state === 'done' && work.step !== 'secondary') {
            void this.close();
            return;
          }
          this.lost = true;
          await pause(AGAIN_MS);
        }
      }
    })();
    return () => { on = false; };
  }

  /** Asks for something; gives back why it was refused. */
  async order(order: SetUpOrder): Promise<string> {
    try {
      await ask('POST', '/api/v1/setup', order);
      return '';
    } catch (error) {
      return error instanceof Refused ? error.message : String(error);
    }
  }

  /** Ends the set-up's page; the console is at the same place afterwards. */
  async close(): Promise<void> {
    this.closing = true;
    const transport = this.view?.console ?? 'https';
    await this.order({ step: 'close' });
    const end = Date.now() + CONSOLE_MAX_MS;
    while (Date.now() < end) {
      await pause(CONSOLE_LOOK_MS);
      if (await this.#isConsole(transport)) break;
    }
    location.assign(`${transport}://${location.host}/`);
  }

  async #isConsole(transport: string): Promise<boolean> {
    try {
      const session = await ask<{ setting_up?: boolean }>('GET', '/api/v1/session', undefined, NEWS_MAX_MS);
      return session.setting_up !== true;
    } catch (error) {
      if (!(error instanceof Refused)) return false;
      // Over HTTP it cannot be asked from here: once nobody speaks HTTPS any more, it is there soon.
      if (error.status === 0 && transport === 'http') await pause(PORT_MAX_MS);
      if (error.status === 0) return transport === 'http';
      return (error.body as { setting_up?: boolean } | null)?.setting_up !== true;
    }
  }
}

export const setUp = new SetUp();
