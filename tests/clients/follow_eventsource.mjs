import { EventSource } from 'eventsource';
import { pauseMs, subscribers, url } from './following.mjs';

// An EventSource sends the same address again: it resumes by nothing but the header Last-Event-ID. It waits for as
// long as the server asks it to (500 ms), and has no option for less.
const { setTimeout } = globalThis;
globalThis.setTimeout = (act, ms, ...rest) => setTimeout(act, ms === 500 ? pauseMs() : ms, ...rest);

for (const { request, next, complete, lost, error } of subscribers) {
  const address = new URL(url);
  address.searchParams.set('query', request.query);
  address.searchParams.set('variables', JSON.stringify(request.variables));
  const source = new EventSource(address);
  source.addEventListener('next', ({ data }) => next(JSON.parse(data)));
  source.addEventListener('complete', () => {
    source.close();
    complete();
  });
  source.addEventListener('error', (event) => (source.readyState === source.CLOSED ? error(event) : lost()));
}
