import type { PoolClient } from 'pg'

/** One way to publish in a transaction and have a handler called afterwards. */
export interface OutboxSystem {
  readonly name: string
  /** Messages of one key reach the handler in order. */
  readonly ordered: boolean
  open(url: string, role: 'both' | 'publisher' | 'consumer'): Promise<OpenSystem>
}

export interface OpenSystem {
  /** Makes tables. Called once per database, before anything else. */
  setup(): Promise<void>
  /** Runs one transaction that publishes `messages`, the way this system's users would write it. */
  publish(messages: readonly BenchMessage[]): Promise<void>
  consume(handler: (payload: BenchPayload) => void): Promise<{ stop(): Promise<void> }>
  close(): Promise<void>
}

export interface BenchMessage {
  /** Empty for a message without a key. */
  readonly key: string
  readonly payload: BenchPayload
}

export interface BenchPayload {
  readonly n: number
  readonly sentAt: number
}

/** BEGIN, `work`, COMMIT on one client of the pool: what each peer's users write. */
export async function inTransaction(
  connect: () => Promise<PoolClient>,
  work: (client: PoolClient) => Promise<unknown>,
): Promise<void> {
  const client = await connect()
  try {
    await client.query('begin')
    await work(client)
    await client.query('commit')
  } finally {
    client.release()
  }
}
