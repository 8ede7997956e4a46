/** A consumer that may be stopped, as by SIGSTOP, in the middle of a message. Prints what it does as lines of JSON. */
import { type Log, sql } from 'holdfast'
import { createInbox } from 'holdfast/inbox'
import { storeQueue } from 'holdfast/store-queue'
import { failpoints } from 'holdfast/testing'
import { openSqlite } from '../support/sqlite.ts'
import { openStoreAt } from '../support/store-at.ts'

const { kind, at, name, stopAt } = JSON.parse(process.argv[2] as string) as {
  kind: 'sqlite' | 'postgres'
  at: string
  name: string
  stopAt?: string
}

// The timeout bounds how long a stopped process can hold what it has locked.
const { store } = openStoreAt(at, { idle_in_transaction_session_timeout: 700 })
const queue = storeQueue(store, { partitions: 1, ackEveryMs: 5, pollMaxMs: 10 })
if (stopAt !== undefined) failpoints.arm(stopAt, stopWhileNobodyWrites, { times: 1 })

const say = (line: object): void => void process.stdout.write(`${JSON.stringify({ name, ...line })}\n`)
const hear =
  (level: string) =>
  (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
    say({ level, message, code: (fields.error as { code?: string } | undefined)?.code })
const log: Log = { debug: () => {}, info: hear('info'), warn: hear('warn'), error: hear('error') }

const consumer = createInbox(store).consumer({
  broker: queue,
  topic: 'paid',
  group: 'ledger',
  owner: name,
  ttlMs: 1_000,
  log,
  // The signal is ignored on purpose.
  handler: (tx, message) =>
    tx.execute(sql`insert into applied (message_id, note) values (${message.id}, ${name})`),
})

process.stdin.once('data', async () => {
  const { handled, duplicates } = consumer.figures()
  await consumer.stop()
  await queue.close()
  await store.close()
  say({ handled, duplicates })
  process.exit(0)
})

/**
 * On SQLite a stopped writer holds the file until it is killed, so the stop must not hit another part of this process
 * between its BEGIN and its COMMIT. The attempt to write is synchronous, and so is the stop after it.
 */
async function stopWhileNobodyWrites(): Promise<void> {
  if (kind === 'sqlite') {
    const probe = openSqlite(at)
    for (;;) {
      try {
        probe.exec('begin immediate')
        probe.exec('rollback')
        break
      } catch {
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    probe.close()
  }
  process.kill(process.pid, 'SIGSTOP')
}
