// The events, through the worker that all tabs share, or directly where browsers have none.
import type { ApiEvent } from './api';
import type { FromWorker } from './events.worker';

export interface Listener {
  event(event: ApiEvent): void;
  connection(state: 'live' | 'lost'): void;
}

/** A browser gives up an EventSource that was refused; then it is opened anew after this. */
const RETRY_MS = 2000;

export function follow(listener: Listener): () => void {
  const take = (text: string) => listener.event(JSON.parse(text) as ApiEvent);
  if (typeof SharedWorker === 'undefined') return directly(listener, take);
  const worker = new SharedWorker(new URL('./events.worker.ts', import.meta.url), {
    type: 'module',
    name: 'tandem-events',
  });
  let retry: ReturnType<typeof setTimeout> | undefined;
  worker.port.onmessage = (message: MessageEvent<FromWorker>) => {
    if ('event' in message.data) take(message.data.event);
    else {
      listener.connection(message.data.connection);
      clearTimeout(retry);
      if (message.data.connection === 'lost') {
        retry = setTimeout(() => worker.port.postMessage('follow'), RETRY_MS);
      }
    }
  };
  worker.port.start();
  worker.port.postMessage('follow');
  const leave = () => worker.port.postMessage('leave');
  addEventListener('pagehide', leave);
  const back = () => worker.port.postMessage('follow');
  addEventListener('pageshow', back);
  return () => {
    clearTimeout(retry);
    removeEventListener('pagehide', leave);
    removeEventListener('pageshow', back);
    leave();
    worker.port.close();
  };
}

function directly(listener: Listener, take: (text: string) => void): () => void {
  let source: EventSource;
  let retry: ReturnType<typeof setTimeout> | undefined;
  const open = () => {
    source = new EventSource('/api/v1/events');
    source.onopen = () => listener.connection('live');
    source.onmessage = (message: MessageEvent<string>) => take(message.data);
    source.onerror = () => {
      listener.connection('lost');
      if (source.readyState === EventSource.CLOSED) retry = setTimeout(open, RETRY_MS);
    };
  };
  open();
  return () => {
    clearTimeout(retry);
    source.close();
  };
}
