/** `s.http` against participants that listen: one of each framework, and a network that loses answers. */
import { type Store, sql } from 'holdfast'
import { STEP_HEADERS } from 'holdfast/participant'
import { postgres } from 'holdfast/postgres'
import { type HttpCall, type SagaContext, saga } from 'holdfast/saga'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import {
  accountStep,
  frameworks,
  prepareAccounts,
  readAccount,
  serveAccounts,
} from '../participant/account-step.ts'
import type { Service } from '../participant/listen.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'
import { until } from '../support/wait.ts'
import { type OpenedStore, quick, startRunner, stores } from './stores.ts'

let journal: OpenedStore
let database: FreshPool
let accounts: Store
beforeAll(async () => {
  const onSqlite = stores[0] as (typeof stores)[number]
  journal = await onSqlite.open()
  database = await freshPool({ max: 10 })
  accounts = postgres(database.pool)
  await prepareAccounts(accounts)
})
afterAll(async () => {
  await journal[Symbol.asyncDispose]()
  await database.drop()
})

const balance = z.object({ balance: z.number() })

/** Two accounts are charged, the first one is given back when the second step fails. */
const pay = (name: string, url: string, second: Partial<HttpCall<unknown>> = {}) =>
  saga(name, async (s: SagaContext, account: string) => {
    const first = await s.http('first', {
      url,
      input: { account: `${account} 1`, amount: 5 },
      schema: balance,
      undo: true,
    })
    await s.http('second', {
      url,
      input: { account: `${account} 2`, amount: 7 },
      undo: true,
      retry: quick,
      ...second,
    })
    return first.balance
  })

const amounts = async (id: string) => [
  (await readAccount(accounts, `${id} 1`)).balance,
  (await readAccount(accounts, `${id} 2`)).balance,
]

/** The calls that the participant's marks tell of. */
async function calls(id: string): Promise<string[]> {
  const rows = await accounts.query<{ phase: string }>(
    sql`select phase from holdfast_effect where id = ${id} and phase <> '' order by phase`,
  )
  return rows.map((row) => row.phase)
}

interface Sent {
  readonly key: string | null
  readonly epoch: string | null
  readonly authorization: string | null
}

/** Sends, and notes what was sent. `lose` says which answers, counted from 1, do not arrive; `requests` which requests. */
function network(lose: { readonly answers?: number; readonly requests?: number } = {}) {
  const sent: Sent[] = []
  const send: typeof fetch = async (url, init) => {
    const headers = new Headers(init?.headers)
    sent.push({
      key: headers.get('idempotency-key'),
      epoch: headers.get(STEP_HEADERS.epoch),
      authorization: headers.get('authorization'),
    })
    const number = sent.length
    if (number <= (lose.requests ?? 0)) throw new TypeError('connect ECONNREFUSED')
    const response = await fetch(url, init)
    if (number > (lose.answers ?? 0)) return response
    await response.arrayBuffer()
    throw new TypeError('terminated')
  }
  return { sent, send }
}

describe.each(frameworks)('a step over HTTP at a participant of %s', (framework) => {
  let service: Service
  let url: string
  beforeAll(async () => {
    service = await serveAccounts(framework, accounts)
    url = `${service.url}/step`
  })
  afterAll(() => service[Symbol.asyncDispose]())
  const id = (what: string) => `${framework} ${what}`

  it('sends the key of the step, the epoch of the lease and the headers given', async () => {
    const { store } = journal
    const { sent, send } = network()
    const job = pay('headers', url, { fetch: send, headers: { authorization: 'Bearer x' } })
    await using _runner = await startRunner(store, [job])
    expect(await job.run(store, id('headers'), { id: id('headers') })).toBe(5)
    const [lease] = await store.query<{ epoch: unknown }>(
      sql`select max(epoch) as epoch from ${store.table('lease')}`,
    )
    expect(sent).toEqual([
      {
        key: `${id('headers')}/second`,
        epoch: expect.stringMatching(/^[1-9]\d*$/),
        authorization: 'Bearer x',
      },
    ])
    expect(Number(sent[0]?.epoch)).toBeLessThanOrEqual(Number(lease?.epoch))
    expect(await amounts(id('headers'))).toEqual([5, 7])
  })

  it('an answer that is lost, and a request that is lost, are sent again with the same key: one effect', async () => {
    const { store } = journal
    const { sent, send } = network({ answers: 2, requests: 1 })
    const job = pay('lossy', url, { fetch: send })
    await using _runner = await startRunner(store, [job])
    await job.run(store, id('lossy'), { id: id('lossy') })
    expect(sent.map((one) => one.key)).toEqual(Array(3).fill(`${id('lossy')}/second`))
    expect(await amounts(id('lossy'))).toEqual([5, 7])
    expect(await calls(id('lossy'))).toEqual(['first/do', 'second/do'])
  })

  it('when the participant refuses, what was done before is given back, and what was refused is not called again', async () => {
    const { store } = journal
    const { sent, send } = network()
    const input = { account: `${id('refused')} 2`, amount: 7, outcome: 'refuse' }
    const job = pay('refused', url, { fetch: send, input })
    await using _runner = await startRunner(store, [job])
    const handle = await job.start(store, id('refused'), { id: id('refused') })
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_FAILED' })
    expect(sent.length).toBe(1)
    expect(await amounts(id('refused'))).toEqual([0, 0])
    expect(await calls(id('refused'))).toEqual(['first/do', 'first/undo', 'second/do'])
  })

  it('an answer that lacks a field is an error of the step, and the step is given back', async () => {
    const { store } = journal
    const { sent, send } = network()
    const schema = z.object({ balance: z.number(), receipt: z.string() })
    const job = pay('lacks', url, { fetch: send, schema })
    await using _runner = await startRunner(store, [job])
    const handle = await job.start(store, id('lacks'), { id: id('lacks') })
    await expect(handle.result()).rejects.toMatchObject({
      code: 'SAGA_FAILED',
      message: expect.stringMatching(/step "second" failed.*receipt/s),
    })
    // Once for the step, since asking again would be answered the same, and once to undo it.
    expect(sent.map((one) => one.key)).toEqual([`${id('lacks')}/second`, `${id('lacks')}/second:undo`])
    expect(await amounts(id('lacks'))).toEqual([0, 0])
  })

  it('an input that the participant does not accept fails at once, with nothing to give back there', async () => {
    const { store } = journal
    const { sent, send } = network()
    const job = pay('invalid', url, { fetch: send, input: { account: '' } })
    await using _runner = await startRunner(store, [job])
    await expect(job.run(store, id('invalid'), { id: id('invalid') })).rejects.toThrow('does not fit')
    expect(sent.length).toBe(1)
    expect(await amounts(id('invalid'))).toEqual([0, 0])
  })
})

describe('a participant that does not answer', () => {
  it('in time is called again with the same key, and what it then did late counts once', async () => {
    const { store } = journal
    let release = (): void => {}
    const late = new Promise<void>((resolve) => {
      release = resolve
    })
    let entered = 0
    await using service = await serveAccounts('express', accounts, {
      ...accountStep,
      do: async (tx, input, context) => {
        const answer = await accountStep.do?.(tx, input, context)
        if (input.account === 'slow 2') {
          entered += 1
          await late
        }
        return answer
      },
    })
    const { sent, send } = network()
    const job = pay('slow', `${service.url}/step`, {
      fetch: send,
      timeoutMs: 300,
      retry: { attemptsMax: 1_000, baseMs: 1, capMs: 20 },
    })
    await using _runner = await startRunner(store, [job])
    const handle = await job.start(store, 'slow', { id: 'slow' })
    await until(() => sent.length > 1, { what: 'the step to be called again' })
    release()
    expect(await handle.result()).toBe(5)
    expect(entered).toBe(1)
    expect(new Set(sent.map((one) => one.key))).toEqual(new Set(['slow/second']))
    expect(await amounts('slow')).toEqual([5, 7])
  })

  it('at all has an unknown outcome: it is undone until the undo is answered', async () => {
    const { store } = journal
    await using service = await serveAccounts('fastify', accounts)
    const url = `${service.url}/step`
    // Two tries of the step and the first of its undo get no answer, though the participant has done all three.
    const { sent, send } = network({ answers: 3 })
    const job = pay('gone', url, {
      fetch: send,
      retry: { attemptsMax: 2, ...quick },
      undoRetry: { attemptsMax: 5, ...quick },
    })
    await using _runner = await startRunner(store, [job])
    await expect(job.run(store, 'gone', { id: 'gone' })).rejects.toMatchObject({ code: 'SAGA_FAILED' })
    expect(sent.map((one) => one.key)).toEqual([
      'gone/second',
      'gone/second',
      'gone/second:undo',
      'gone/second:undo',
    ])
    expect(await amounts('gone')).toEqual([0, 0])
  })

  it('to its undo makes the saga stuck, and names the participant', async () => {
    const { store } = journal
    await using service = await serveAccounts('hono', accounts)
    const { send } = network({ answers: 100 })
    const job = pay('down', `${service.url}/step`, {
      fetch: send,
      retry: { attemptsMax: 1 },
      undoRetry: { attemptsMax: 2, ...quick },
    })
    await using _runner = await startRunner(store, [job])
    await expect(job.run(store, 'down', { id: 'down' })).rejects.toMatchObject({
      code: 'SAGA_STUCK',
      message: expect.stringMatching(/undo of step "second".*no answer/),
    })
  })
})
