/** A consumer whose handler kills the process at message m5, while others are under way. Ends when all is settled. */
import { sql } from 'holdfast'
import { createInbox } from 'holdfast/inbox'
import { storeQueue } from 'holdfast/store-queue'
import { openStoreAt } from '../support/store-at.ts'
import { until } from '../support/wait.ts'

const { kind, at } = JSON.parse(process.argv[2] as string) as { kind: 'sqlite' | 'postgres'; at: string }
const { store } = openStoreAt(at)
const queue = storeQueue(store, { partitions: 1, pollMaxMs: 10 })
const started = new Set<string>()
createInbox(store).consumer({
  broker: queue,
  topic: 'paid',
  group: 'ledger',
  ttlMs: 1_000,
  retry: { attemptsMax: 3 },
  handler: async (tx, { id }) => {
    started.add(id)
    // With others under way, so that the crash blames the innocent too. On SQLite handlers run one at a time anyway.
    if (kind === 'postgres' && started.size > 1) {
      await until(() => started.has('m5'), { deadlineMs: 250 }).catch(() => {})
    }
    if (id === 'm5') process.kill(process.pid, 'SIGKILL')
    await tx.execute(sql`insert into applied (message_id, note) values (${id}, ${id})`)
  },
})
await until(
  async () => {
    const { groups } = await queue.figures()
    return groups.every((group) => group.backlog === 0)
  },
  { deadlineMs: 20_000 },
)
process.stdout.write(`${JSON.stringify({ done: true })}\n`)
process.exit(0)
