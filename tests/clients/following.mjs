// What the followers have in common. Their orders are one JSON argument: {url, subscriptions: [{query, variables}]};
// what happens to a subscriber they tell by one line of JSON that names its index.

const { url, subscriptions } = JSON.parse(process.argv[2]);

export { url };

export const say = (event) => process.stdout.write(JSON.stringify(event) + '\n');

// Long enough for many subscribers to come back at different times, short enough for a test.
export const pauseMs = () => 10 + Math.random() * 90;

export const pause = () => new Promise((resolve) => setTimeout(resolve, pauseMs()));

// `request` is what to subscribe with; its `after` is the cursor of the last item, so whoever sends it again resumes.
export const subscribers = subscriptions.map(({ query, variables }, index) => {
  const request = { query, variables: { ...variables } };
  return {
    request,
    next({ data, errors }) {
      if (errors) return say({ index, failed: errors });
      const [item] = Object.values(data);
      request.variables.after = item.cursor;
      say({ index, item });
    },
    lost: () => say({ index, lost: true }),
    complete: () => say({ index, ended: true }),
    error: (reason) => say({ index, failed: reason?.message || reason?.reason || String(reason) }),
  };
});
