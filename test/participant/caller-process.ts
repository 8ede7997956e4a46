/** Holds a lease and calls one step under its epoch, in a store or over HTTP; may be stopped, as by SIGSTOP, on the way. */
import { sql } from 'holdfast'
import { acquireLease } from 'holdfast/lease'
import { callStep, createParticipant } from 'holdfast/participant'
import { failpoints } from 'holdfast/testing'
import { openStoreAt } from '../support/store-at.ts'
import { until } from '../support/wait.ts'

const { at, url, name, step, stopAt } = JSON.parse(process.argv[2] as string) as {
  at: string
  /** Of an HTTP participant; undefined for one in the store. */
  url?: string
  name: string
  step: string
  stopAt?: string
}
const say = (line: object): void => void process.stdout.write(`${JSON.stringify({ name, ...line })}\n`)

// Bounds how long a stopped process can hold what it has locked.
const opened = openStoreAt(at, { idle_in_transaction_session_timeout: 700 })
const { store } = opened
const lease = await until(
  () => acquireLease(store, { scope: 'sagas', name: 'order-1', owner: name, ttlMs: 1_000 }),
  { deadlineMs: 20_000 },
)
say({ epoch: Number(lease.epoch) })
if (stopAt !== undefined) failpoints.arm(stopAt, 'stop', { times: 1 })
const call = { saga: 'order-1', step, phase: 'do', epoch: lease.epoch } as const
try {
  if (url === undefined) {
    const { kind } = await createParticipant(store).transaction(
      call,
      (tx) => tx.execute(sql`insert into applied (message_id, note) values ('order-1', ${name})`),
      { retries: 0 },
    )
    say({ kind })
  } else {
    // The participant is another process: the caller stops between learning its epoch and sending.
    if (stopAt === 'send') process.kill(process.pid, 'SIGSTOP')
    const { kind } = await callStep(url, { ...call, input: { note: name } })
    say({ kind })
  }
} catch (error) {
  say({ code: (error as { code?: string }).code })
}
await opened[Symbol.asyncDispose]()
