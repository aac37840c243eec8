// The events, through the worker that all tabs share, or directly where browsers have none.
import type { ApiEvent } from './api';
import type { FromWorker } from './events.worker';
import { Stream, type Connection } from './stream';

export interface Listener {
  /** `at` is when the node said it. */
  event(event: ApiEvent, at: number): void;
  connection(state: Connection): void;
}

export function follow(listener: Listener): () => void {
  const take = (text: string, at: number) => listener.event(JSON.parse(text) as ApiEvent, at);
  if (typeof SharedWorker === 'undefined') return directly(listener, take);
  const worker = new SharedWorker(new URL('./events.worker.ts', import.meta.url), {
    type: 'module',
    name: 'tandem-events',
  });
  worker.port.onmessage = (message: MessageEvent<FromWorker>) => {
    if ('event' in message.data) take(message.data.event, message.data.at);
    else listener.connection(message.data.connection);
  };
  worker.port.start();
  worker.port.postMessage('follow');
  const leave = () => worker.port.postMessage('leave');
  addEventListener('pagehide', leave);
  const back = () => worker.port.postMessage('follow');
  addEventListener('pageshow', back);
  return () => {
    removeEventListener('pagehide', leave);
    removeEventListener('pageshow', back);
    leave();
    worker.port.close();
  };
}

function directly(listener: Listener, take: (text: string, at: number) => void): () => void {
  const stream = new Stream({
    event: (text) => take(text, Date.now()),
    connection: (state) => listener.connection(state),
  });
  stream.open();
  return () => stream.close();
}
