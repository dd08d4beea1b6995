import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { pause, subscribers, url } from './following.mjs';

// All on one socket, as in a page. After a loss graphql-ws subscribes again by itself, and by default with what it
// was given at first. It reads the request anew each time, though: moving `after` inside of it resumes and leaves the
// reconnection to the library; subscribing anew with retryAttempts 0 would mean to write that again.
const client = createClient({
  url,
  webSocketImpl: WebSocket,
  retryAttempts: 100,
  retryWait: pause,
  shouldRetry: () => true, // by default only a close is tried again, not a refused connection
  on: { connecting: (again) => again && subscribers[0].lost() },
});
for (const subscriber of subscribers) client.subscribe(subscriber.request, subscriber);
