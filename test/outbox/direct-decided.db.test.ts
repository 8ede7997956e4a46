/** What is handed over from memory is durable and decided: with a witness, with PREPARE TRANSACTION, with both stores' commit. */
import { type Store, sql } from 'holdfast'
import { directBroker } from 'holdfast/broker'
import { createOutbox, type Outbox, type Relay } from 'holdfast/outbox'
import { failpoints } from 'holdfast/testing'
import { createTwoPhase, type TwoPhase } from 'holdfast/two-phase'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openStoreAt, type StoreAt } from '../support/store-at.ts'
import { freshStore } from '../support/stores.ts'
import { until } from '../support/wait.ts'
import { countRows } from './stores.ts'

let opened: StoreAt
let store: Store
/** Of another process, so it sees what is committed. */
let other: Store
let outbox: Outbox
let relay: Relay
let seen: string[]
/** Asked when a message reaches the handler. */
let onMessage: () => unknown = () => {}

beforeEach(async () => {
  opened = await freshStore('postgres', { pool: { max: 12 } })
  const elsewhere = openStoreAt(opened.at)
  store = opened.store
  other = elsewhere.store
  seen = []
  onMessage = () => {}
  outbox = createOutbox(store, { partitions: 1 })
  const handle = async ({ payload }: { readonly payload: string }): Promise<void> => {
    await onMessage()
    seen.push(JSON.parse(payload))
  }
  // It does not poll: what it finds is what it was told, or what a test lets it read.
  relay = outbox.relay({ broker: directBroker({ handle }), pollMinMs: 60_000, pollMaxMs: 60_000 })
  await relay.drainOnce()
  await store.clock.sleep(5) // a commit that comes alone is one behind 2 ms of quiet
  return async () => {
    failpoints.reset()
    await relay.stop()
    await elsewhere[Symbol.asyncDispose]()
    await opened[Symbol.asyncDispose]()
  }
})

const rows = (table: string): Promise<number> => countRows(other, table)
const message = (payload: string) => ({ topic: 't', key: 'k', payload })
const publish = (payload: string) => store.transaction((tx) => outbox.publish(tx, message(payload)))
const atRest = () => until(async () => relay.figures().inHand === 0 && (await rows('outbox')) === 0)

/** Each of these came once, and nothing is left; so many of them from memory. */
async function expectDelivered(payloads: readonly string[], direct: number): Promise<void> {
  await until(() => seen.length >= payloads.length)
  await atRest()
  await relay.drainOnce()
  expect(seen).toEqual(payloads)
  expect(relay.figures()).toMatchObject({ relayed: payloads.length, direct, retries: 0, inHand: 0 })
  expect(await outbox.figures()).toMatchObject({ backlog: 0, relayed: payloads.length, deadLetters: 0 })
}

/** Nothing was handed over, however often the relay is told and reads. */
async function expectNothingYet(): Promise<void> {
  outbox.committed()
  await relay.drainOnce()
  await store.clock.sleep(20)
  expect([seen, relay.figures().direct]).toEqual([[], 0])
}

describe('with a witness', () => {
  const publishWitnessed = (payload: string) =>
    store.transaction((tx) => outbox.publish(tx, message(payload)), { witness: true, retries: 0 })

  it('message and witness are durable before the message is handed over', async () => {
    let found: unknown
    onMessage = async () => {
      found = [await rows('outbox'), await rows('witness')]
    }
    await publishWitnessed('one')
    await expectDelivered(['one'], 1)
    expect(found).toEqual([1, 1])
  })

  it('it is not handed over while COMMIT is on its way', async () => {
    const committing = failpoints.arm('store.commit.after', 'pause')
    const published = publishWitnessed('one')
    await committing.reached
    await store.clock.sleep(20)
    expect([seen, relay.figures().direct]).toEqual([[], 0])
    committing.disarm()
    await published
    await expectDelivered(['one'], 1)
  })

  it.each([
    ['store.commit.after', 'applied', ['one', 'two']],
    ['store.commit.before', 'not-applied', ['two']],
  ])(
    'without an answer to COMMIT (%s) memory hands nothing over, and the outcome %s is what is read',
    async (place, outcome, payloads) => {
      failpoints.arm(place, 'throw', { times: 1 })
      const lost = await publishWitnessed('one').then(
        () => undefined,
        (error) => error,
      )
      expect(lost).toMatchObject({ code: 'COMMIT_UNKNOWN' })
      expect(relay.figures().direct).toBe(0)
      expect(await store.resolve(lost)).toBe(outcome)
      await relay.drainOnce()
      expect(seen).toEqual(payloads.slice(0, -1))
      await store.clock.sleep(5)
      await publish('two')
      await expectDelivered(payloads, 1)
    },
  )
})

describe('with PREPARE TRANSACTION', () => {
  const prepare = (gid: string) => {
    const { prepared } = store
    if (prepared === undefined) throw new Error('PostgreSQL prepares')
    return prepared.prepare(gid, (tx) => outbox.publish(tx, message(gid)))
  }

  it('prepared is not handed over; committed is, once', async () => {
    const work = await prepare('one')
    await expectNothingYet()
    await store.clock.sleep(5)
    expect(await work.commit()).toBe('done')
    await until(() => seen.length > 0)
    await expectDelivered(['one'], relay.figures().direct)
  })

  it('nobody has read meanwhile: it comes from memory', async () => {
    const work = await prepare('one')
    await store.clock.sleep(20)
    expect(seen).toEqual([])
    await work.commit()
    await expectDelivered(['one'], 1)
  })

  it.each([
    ['by who prepared it', (work: { rollback(): Promise<unknown> }) => work.rollback()],
    [
      'by another, and who prepared it commits in vain',
      async (work: { commit(): Promise<unknown> }) => {
        expect(await other.prepared?.rollback('one')).toBe('done')
        expect(await work.commit()).toBe('absent')
      },
    ],
  ])('rolled back %s it is never handed over', async (_by, end) => {
    let committed = 0
    const { prepared } = store
    const work = await prepared?.prepare('one', async (tx) => {
      tx.afterCommit(() => void committed++)
      return outbox.publish(tx, message('one'))
    })
    await end(work as never)
    await expectNothingYet()
    expect(committed).toBe(0)
    await store.clock.sleep(5)
    await publish('two')
    await expectDelivered(['two'], 1)
  })

  it('left to another, who commits it: it is read, once', async () => {
    const work = await prepare('one')
    work.leave()
    expect(await other.prepared?.commit('one')).toBe('done')
    await relay.drainOnce()
    await expectDelivered(['one'], 0)
  })

  it('read when another had committed it, it is not handed over again by who prepared it', async () => {
    const work = await prepare('one')
    await other.prepared?.commit('one')
    await relay.drainOnce()
    expect(seen).toEqual(['one'])
    await work.commit({ decided: true })
    await expectDelivered(['one'], 0)
  })
})

describe.each(['apart', 'the publishing store'])('with two-phase commit whose log is %s', (place) => {
  let log: Store
  let payments: Store
  let twoPhase: TwoPhase
  let recoverer: TwoPhase
  beforeEach(async () => {
    const paying = await freshStore('postgres')
    payments = paying.store
    await payments.execute('create table paid (id text not null)')
    log = place === 'apart' ? payments : store
    const participants = { orders: store, payments }
    twoPhase = createTwoPhase(log, { participants })
    // With stores of its own, as another process has them; its transactions are those of the same databases.
    const openedElsewhere = openStoreAt(paying.at)
    const orders = other
    const log2 = place === 'apart' ? openedElsewhere.store : orders
    recoverer = createTwoPhase(log2, { participants: { orders, payments: openedElsewhere.store } })
    await twoPhase.check()
    await store.clock.sleep(5)
    return async () => {
      await twoPhase.close()
      await recoverer.close()
      await openedElsewhere[Symbol.asyncDispose]()
      await paying[Symbol.asyncDispose]()
    }
  })

  let committed = 0
  afterEach(() => {
    committed = 0
  })
  const order = (payload: string) =>
    twoPhase(
      [store, payments],
      async ([o, p]) => {
        o.afterCommit(() => void committed++)
        await p.execute(sql`insert into paid (id) values (${payload})`)
        await outbox.publish(o, message(payload))
      },
      { retries: 0 },
    )
  const paid = async (): Promise<number> => (await payments.query('select id from paid')).length

  it('it is handed over once the decision stands, and once', async () => {
    await order('one')
    await expectDelivered(['one'], 1)
    expect([committed, await paid()]).toEqual([1, 1])
  })

  it.each([
    'two-phase.worked',
    'two-phase.preparing',
    'store.prepare.after',
    'two-phase.prepared',
    'two-phase.deciding',
  ])(
    'before the decision, at %s, nothing is handed over; when it is refused, nothing ever is',
    async (at) => {
      const held = failpoints.arm(at, 'pause', { times: 1 })
      const ordering = order('one').catch((error) => error)
      await held.reached
      await expectNothingYet()
      failpoints.arm('two-phase.deciding', 'throw')
      held.disarm()
      if (at === 'two-phase.deciding') {
        // It was behind that place already: this one is decided.
        await ordering
        await until(() => seen.length > 0)
        return
      }
      expect(await ordering).toBeInstanceOf(Error)
      failpoints.reset()
      await recoverer.recover({ inDoubtMs: 0 })
      await expectNothingYet()
      expect([committed, await paid()]).toEqual([0, 0])
      await store.clock.sleep(5)
      await order('two')
      await expectDelivered(['two'], 1)
    },
  )

  it('aborted by another while it was held up, it is never handed over', async () => {
    const held = failpoints.arm('two-phase.prepared', 'pause', { times: 1 })
    const ordering = order('one').catch((error) => error)
    await held.reached
    await recoverer.recover({ inDoubtMs: 0 })
    held.disarm()
    expect(await ordering).toMatchObject({ code: 'TWO_PHASE_ABORTED' })
    await expectNothingYet()
    expect([committed, await paid()]).toEqual([0, 0])
  })

  it.each([true, false])(
    'carried out by another, it is delivered once (read meanwhile: %s)',
    async (read) => {
      const held = failpoints.arm('two-phase.decided', 'pause', { times: 1 })
      const ordering = order('one')
      await held.reached
      if (place === 'apart') expect(seen).toEqual([])
      await recoverer.recover({ inDoubtMs: 0 })
      if (read) await relay.drainOnce()
      held.disarm()
      await ordering
      await expectDelivered(['one'], relay.figures().direct)
      expect([committed, await paid()]).toEqual([1, 1])
    },
  )
})
