// The baseline: graphql-ws on ws, fed by one Redis subscription, as one would write it for Node.js.
// The items are the same updates that our own API gets from Redis, as JSON, resolved to the same fields.
import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { Redis } from 'ioredis'
import { WebSocketServer } from 'ws'

const schema = buildSchema(`
  scalar DateTime
  enum JobUpdateKind { SNAPSHOT TRANSITION PROGRESS RESET }
  enum JobStatus { QUEUED PROCESSING RETRYING SUCCEEDED FAILED CANCELLED }
  type Asset { id: ID! format: String! sizeBytes: Int! downloadUrl: String! }
  type AssetJob { id: ID! worldId: ID! status: JobStatus! seq: Int! attempt: Int! asset: Asset }
  type JobUpdate {
    kind: JobUpdateKind! jobId: ID! worldId: ID! seq: Int! cursor: String! status: JobStatus!
    previousStatus: JobStatus attempt: Int! progress: Float progressMessage: String errorCode: String
    errorMessage: String at: DateTime! job: AssetJob!
  }
  type Query { ready: Boolean! }
  type Subscription {
    jobUpdates(jobId: ID!, after: String): JobUpdate!
    worldUpdates(worldId: ID!, after: String): JobUpdate!
  }
`)

const redis = new Redis(process.env.REDIS_URL)
const topics = new Map()

redis.on('message', (channel, message) => {
  const item = JSON.parse(message)
  for (const push of topics.get(channel) ?? []) push(item)
})

async function* listen(channel, field, first = []) {
  const items = []
  let wake
  const push = item => {
    items.push(item)
    wake?.()
  }
  if (!topics.has(channel)) topics.set(channel, new Set())
  topics.get(channel).add(push)
  try {
    await redis.subscribe(channel)
    yield* first
    while (true) {
      while (items.length) yield { [field]: items.shift() }
      await new Promise(resolve => (wake = resolve))
    }
  } finally {
    topics.get(channel).delete(push)
    if (!topics.get(channel).size) {
      topics.delete(channel)
      redis.unsubscribe(channel)
    }
  }
}

// What a subscriber of one job hears first.
const SNAPSHOT = {
  kind: 'SNAPSHOT', seq: 1, status: 'QUEUED', attempt: 0, at: new Date(0).toISOString(),
  job: { id: '00000000-0000-0000-0000-000000000000', world_id: '', status: 'QUEUED', seq: 1, attempt: 0 }
}

function cursor({ job, seq }) {
  const bytes = Buffer.alloc(21)
  bytes.write(job.id.replaceAll('-', ''), 1, 'hex')
  bytes.writeUInt32BE(seq, 17)
  return bytes.toString('base64url')
}

const resolvers = {
  JobUpdate: {
    jobId: update => update.job.id,
    worldId: update => update.job.world_id,
    cursor,
    previousStatus: update => update.previous_status,
    progressMessage: update => update.progress_message,
    errorCode: update => update.error_code,
    errorMessage: update => update.error_message,
    job: update => ({ ...update.job, asset: update.asset })
  },
  AssetJob: { worldId: job => job.world_id },
  Asset: {
    sizeBytes: asset => asset.size_bytes,
    downloadUrl: asset => createHmac('sha256', 'secret').update(asset.storage_key).digest('base64url')
  }
}
for (const [type, fields] of Object.entries(resolvers))
  for (const [name, resolve] of Object.entries(fields)) schema.getType(type).getFields()[name].resolve = resolve
const subscriptions = schema.getSubscriptionType().getFields()
subscriptions.jobUpdates.subscribe = (_, { jobId }) =>
  listen(`bench:job:${jobId}`, 'jobUpdates', [{ jobUpdates: SNAPSHOT }])
subscriptions.worldUpdates.subscribe = (_, { worldId }) => listen(`bench:world:${worldId}`, 'worldUpdates')

const server = createServer()
useServer({ schema }, new WebSocketServer({ server, path: '/graphql' }))
// Memory is compared after a collection; `node --expose-gc` has one.
process.on('SIGUSR2', () => globalThis.gc())
server.listen(0, '127.0.0.1', 4096, () => process.stderr.write(`listening on ${server.address().port}\n`))
