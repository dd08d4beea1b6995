"""The worker: takes jobs from the queue, runs them on providers, settles them."""
