// One stream of events for all tabs of this browser: a browser opens six connections to a server at
// most, and a stream keeps one.
import { Stream, type Connection } from './stream';

export type FromWorker = { event: string; at: number } | { connection: Connection };

const tabs = new Set<MessagePort>();
let lastStatus: { event: string; at: number } | null = null;
/** `null` until the node has answered once, or not: a tab that comes meanwhile is told nothing wrong. */
let connection: Connection | null = null;

function tell(message: FromWorker): void {
  for (const tab of tabs) tab.postMessage(message);
}

const stream = new Stream({
  event: (event) => {
    const said = { event, at: Date.now() };
    if (event.startsWith('{"kind":"status"')) lastStatus = said;
    tell(said);
  },
  connection: (state) => {
    connection = state;
    tell({ connection });
  },
});

const scope = self as unknown as { onconnect: (event: MessageEvent) => void };
scope.onconnect = (event) => {
  const tab = event.ports[0];
  if (tab === undefined) return;
  tab.onmessage = (message: MessageEvent<'follow' | 'leave'>) => {
    if (message.data === 'leave') {
      tabs.delete(tab);
      if (tabs.size === 0) {
        stream.close();
        lastStatus = null;
        connection = null;
      }
      return;
    }
    tabs.add(tab);
    stream.open();
    // What was said last may be old; whether the node answers, the connection says.
    if (lastStatus !== null) tab.postMessage(lastStatus);
    if (connection !== null) tab.postMessage({ connection });
  };
  tab.start();
};
