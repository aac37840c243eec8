// The stream of events from the node, and whether it is alive. A cable that was pulled closes no
// connection, and a browser notices in minutes; so silence counts, and a silent stream is opened anew.

export type Connection = 'live' | 'lost';

export interface Hearer {
  /** What the node said, or that something may have been missed. */
  event(text: string): void;
  connection(state: Connection): void;
}

/** A node that answers says something at least once a second. */
const SILENCE_MAX_MS = 5000;
/** To connect takes longer on a loaded machine; after this the attempt is taken for lost. */
const CONNECT_MAX_MS = 10_000;
/** A browser gives up a stream that was refused; it is opened anew after this. */
const REFUSED_MS = 2000;
const LOOK_MS = 500;
const MISSED = '{"kind":"missed"}';

export class Stream {
  #hearer: Hearer;
  #source: EventSource | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** When the stream last changed what it does, or said something. */
  #since = 0;
  /** `null` until the node has answered once, or not. */
  #connection: Connection | null = null;
  #opened = 0;

  constructor(hearer: Hearer) {
    this.#hearer = hearer;
  }

  open(): void {
    if (this.#timer !== undefined) return;
    this.#connect();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#source?.close();
    this.#source = null;
    this.#connection = null;
  }

  #connect(): void {
    this.#source?.close();
    const source = new EventSource('/api/v1/events');
    this.#source = source;
    this.#since = Date.now();
    let first = true;
    source.onopen = () => {
      this.#since = Date.now();
      this.#is('live');
      // It goes on where it was (Last-Event-ID), but not over two of them.
      if (first && this.#opened > 0) this.#hearer.event(MISSED);
      first = false;
      this.#opened += 1;
    };
    source.onmessage = (message: MessageEvent<string>) => {
      this.#since = Date.now();
      this.#is('live');
      this.#hearer.event(message.data);
    };
    source.onerror = () => {
      this.#since = Date.now();
      this.#is('lost');
    };
  }

  #look(): void {
    const state = this.#source?.readyState;
    const patience = state === EventSource.OPEN ? SILENCE_MAX_MS : state === EventSource.CONNECTING ? CONNECT_MAX_MS : REFUSED_MS;
    if (Date.now() - this.#since < patience) return;
    this.#is('lost');
    this.#connect();
  }

  #is(connection: Connection): void {
    if (this.#connection === connection) return;
    this.#connection = connection;
    this.#hearer.connection(connection);
  }
}
