"""What lorekeeper does, free of GraphQL and of the worker: jobs, their log, queue, streams and assets."""
