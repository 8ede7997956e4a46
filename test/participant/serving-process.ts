/** An HTTP participant as a process of its own, which a test may stop in the middle of a step. */
import { createServer } from 'node:http'
import { sql } from 'holdfast'
import { createParticipant, expressStep } from 'holdfast/participant'
import { failpoints } from 'holdfast/testing'
import { openStoreAt } from '../support/store-at.ts'

const { at, stopAt } = JSON.parse(process.argv[2] as string) as { at: string; stopAt?: string }
const { store } = openStoreAt(at, { idle_in_transaction_session_timeout: 700 })
if (stopAt !== undefined) failpoints.arm(stopAt, 'stop', { times: 1 })
const step = expressStep(createParticipant(store), {
  do: async (tx, input) => {
    const { note } = input as { note: string }
    await tx.execute(sql`insert into applied (message_id, note) values ('order-1', ${note})`)
    return { note }
  },
})
const server = createServer((request, response) => void step(request, response))
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as { port: number }
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}/` })}\n`)
})
