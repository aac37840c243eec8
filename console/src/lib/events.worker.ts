// One stream of events for all tabs of this browser: a browser opens six connections to a server at
// most, and a stream keeps one. The EventSource goes on where it was (Last-Event-ID) by itself.

export type FromWorker = { event: string } | { connection: 'live' | 'lost' };

const tabs = new Set<MessagePort>();
let source: EventSource | null = null;
let lastStatus: string | null = null;
/** `null` until the node has answered once, or not: a tab that comes meanwhile is told nothing wrong. */
let connection: 'live' | 'lost' | null = null;

function tell(message: FromWorker): void {
  for (const tab of tabs) tab.postMessage(message);
}

function open(): void {
  source?.close();
  source = new EventSource('/api/v1/events');
  source.onopen = () => {
    connection = 'live';
    tell({ connection });
  };
  source.onmessage = (message: MessageEvent<string>) => {
    if (message.data.startsWith('{"kind":"status"')) lastStatus = message.data;
    tell({ event: message.data });
  };
  source.onerror = () => {
    connection = 'lost';
    tell({ connection });
    // Refused for good (the session ended): a tab that signs in opens it again.
    if (source?.readyState === EventSource.CLOSED) source = null;
  };
}

const scope = self as unknown as { onconnect: (event: MessageEvent) => void };
scope.onconnect = (event) => {
  const tab = event.ports[0];
  if (tab === undefined) return;
  tabs.add(tab);
  tab.onmessage = (message: MessageEvent<'follow' | 'leave'>) => {
    if (message.data === 'leave') {
      tabs.delete(tab);
      if (tabs.size === 0) {
        source?.close();
        source = null;
        lastStatus = null;
        connection = null;
      }
      return;
    }
    tabs.add(tab);
    if (source === null || source.readyState === EventSource.CLOSED) open();
    if (connection !== null) tab.postMessage({ connection });
    if (lastStatus !== null) tab.postMessage({ event: lastStatus });
  };
  tab.start();
};
