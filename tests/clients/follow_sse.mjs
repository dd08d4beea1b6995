import { createClient, NetworkError } from 'graphql-sse';
import { pause, subscribers, url } from './following.mjs';

// Like graphql-ws: it subscribes again by itself and reads the request anew, so `after` moves inside of that.
const client = createClient({ url, retryAttempts: 100, retry: pause });

function follow(subscriber) {
  const sink = {
    ...subscriber,
    error(reason) {
      // Where the connection breaks while an item is on its way to us, graphql-sse takes that for a mistake of ours
      // and gives up with fetch's bare error.
      if (reason instanceof NetworkError || !(reason instanceof TypeError)) return subscriber.error(reason);
      subscriber.lost();
      follow(subscriber);
    },
  };
  client.subscribe(subscriber.request, sink, { connecting: (again) => again && subscriber.lost() });
}

subscribers.forEach(follow);
