import { EventSource } from 'eventsource';
import { pauseMs, subscribers, url } from './following.mjs';

// An EventSource sends the same address again: it resumes by nothing but the header Last-Event-ID. Its pause is 3 s
// or what the server asks for; there is no option for less, and nothing else here sets a timer.
const { setTimeout } = globalThis;
globalThis.setTimeout = (act) => setTimeout(act, pauseMs());

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
