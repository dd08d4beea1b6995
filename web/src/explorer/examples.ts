// The examples: the tabs a reader finds open on the first visit.

interface Example {
  query: string;
  variables?: string;
}

function pretty(variables: object): string {
  return JSON.stringify(variables, null, 2);
}

const CREATE: Example = {
  query: `# Create a picture. Run this, then copy the id
# of the job into the variables of the next tab.
mutation CreatePicture($input: CreateAssetJobInput!) {
  createAssetJob(input: $input) {
    created
    job {
      id
      status
      cursor
    }
  }
}
`,
  variables: pretty({
    input: {
      worldId: "eldoria",
      assetType: "IMAGE",
      provider: "local",
      promptSpec: { description: "A misty mountain lake at dawn, pine forest on the shore" },
    },
  }),
};

const WATCH: Example = {
  query: `# Watch it: every change of the job as it happens.
# With a cursor as "after" it goes on behind that.
subscription Watch($jobId: ID!, $after: String) {
  jobUpdates(jobId: $jobId, after: $after) {
    kind
    seq
    status
    progress
    progressMessage
    errorCode
    job {
      asset {
        downloadUrl
      }
    }
  }
}
`,
  variables: pretty({ jobId: "paste the id of a job here" }),
};

const WORLD: Example = {
  query: `# Watch a world: all of its jobs as they happen.
# Leave it running, and make something in another window.
subscription WatchWorld($worldId: ID!, $after: String) {
  worldUpdates(worldId: $worldId, after: $after) {
    kind
    jobId
    seq
    status
    progress
    cursor
    job {
      assetType
      provider
    }
  }
}
`,
  variables: pretty({ worldId: "eldoria" }),
};

const LATEST: Example = {
  query: `# Latest jobs of one world.
query LatestJobs {
  jobs(filter: {worldId: "eldoria"}, first: 10) {
    totalCount
    edges {
      node {
        id
        status
        provider
        attempt
        createdAt
        finishedAt
        asset {
          downloadUrl
        }
      }
    }
  }
}
`,
};

export const EXAMPLES: Example[] = [CREATE, WATCH, WORLD, LATEST];
