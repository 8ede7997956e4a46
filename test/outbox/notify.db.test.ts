import { type Store, sql } from 'holdfast'
import { directBroker } from 'holdfast/broker'
import { createOutbox, type OutboxOptions, type Relay, type RelayOptions } from 'holdfast/outbox'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openStoreAt, type StoreAt } from '../support/store-at.ts'
import { until } from '../support/wait.ts'
import { openStore } from './stores.ts'

/** So long that only an announcement can be why a message came. */
const NO_POLL = { pollMinMs: 120_000, pollMaxMs: 120_000 }

describe('with notify and listen', () => {
  let opened: StoreAt
  let other: StoreAt
  let publisher: Store
  let seen: unknown[]
  const relays: Relay[] = []
  beforeEach(async () => {
    opened = await openStore('postgres')
    other = openStoreAt(opened.at)
    publisher = other.store
    seen = []
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    for (const relay of relays.splice(0)) await relay.stop()
    await other[Symbol.asyncDispose]()
    await opened[Symbol.asyncDispose]()
  })

  const listen = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: opened.at, application_name: 'listener' })
    await client.connect()
    return client
  }

  /** A relay that has looked at everything, and listens when it is told to. */
  async function start(options: Partial<RelayOptions> = {}, outbox: OutboxOptions = {}): Promise<Relay> {
    const broker = directBroker({ handle: ({ payload }) => seen.push(JSON.parse(payload)) })
    const relay = createOutbox(opened.store, outbox).relay({ broker, ...NO_POLL, listen, ...options })
    relays.push(relay)
    if (options.listen === undefined) await until(async () => (await listeners()).length === 1)
    await relay.drainOnce()
    return relay
  }

  async function listeners(): Promise<number[]> {
    const rows = await opened.store.query<{ pid: number }>(
      sql`select pid from pg_stat_activity where application_name = 'listener' and query not like 'select%' and state = 'idle' and datname = current_database()`,
    )
    return rows.map((row) => row.pid)
  }

  const publish = (payload: unknown, options: OutboxOptions = { notify: true }) =>
    publisher.transaction((tx) => createOutbox(publisher, options).publish(tx, { topic: 't', payload }))

  it('a commit of another process arrives without a poll', async () => {
    const relay = await start()
    const { reads } = relay.figures()
    await publish(1)
    await until(() => seen.length === 1)
    expect(relay.figures().reads).toBeGreaterThan(reads)
    await until(() => relay.figures().inHand === 0)
  })

  it('where the publisher does not notify, the poll finds the message', async () => {
    await start({ pollMinMs: 2, pollMaxMs: 50 })
    await publish(1, {})
    await until(() => seen.length === 1)
  })

  it('a killed connection is opened again, and what was committed meanwhile arrives', async () => {
    let mayOpen = true
    let refused = 0
    const relay = await start({
      listen: async () => {
        if (mayOpen) return listen()
        refused++
        throw new Error('not now')
      },
    })
    await until(async () => (await listeners()).length === 1)
    await publish('before')
    await until(() => seen.length === 1)
    mayOpen = false
    const { reads } = relay.figures()
    const [pid] = await listeners()
    await opened.store.query(sql`select pg_terminate_backend(${pid ?? 0})`)
    await until(() => refused > 0)
    await until(() => relay.figures().reads > reads, { what: 'the look that follows the loss' })
    await publish('deaf')
    mayOpen = true
    await until(() => seen.length === 2)
    await until(async () => (await listeners()).length === 1)
    await publish('after')
    await until(() => seen.length === 3)
    expect(seen).toEqual(['before', 'deaf', 'after'])
  })

  it('while the listening connection is down, the poll finds what is committed', async () => {
    await start({ pollMinMs: 2, pollMaxMs: 50, listen: () => Promise.reject(new Error('never')) })
    await publish(1)
    await until(() => seen.length === 1)
  })

  it('any name of an outbox makes a channel', async () => {
    for (const name of ['it\'s a "name"', 'ä'.repeat(100)]) {
      seen = []
      const relay = await start({}, { name })
      await publish(name, { name, notify: true })
      await until(() => seen.length === 1)
      await relay.stop()
      await until(async () => (await listeners()).length === 0)
    }
  })

  it('announcements go outside of the transaction, one at a time, for what was committed only', async () => {
    const outbox = createOutbox(publisher, { notify: true })
    const read = publisher.read
    let open = 0
    let most = 0
    let sent = 0
    vi.spyOn(publisher, 'read').mockImplementation(async (...given) => {
      sent++
      most = Math.max(most, ++open)
      try {
        return await read.apply(publisher, given)
      } finally {
        open--
      }
    })
    await start()
    const failing = publisher.transaction(async (tx) => {
      await outbox.publish(tx, { topic: 't', payload: 'rolled back' })
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    expect(sent).toBe(0)
    const all = Array.from({ length: 60 }, (_, payload) =>
      publisher.transaction((tx) => outbox.publish(tx, { topic: 't', payload })),
    )
    await Promise.all(all)
    await until(() => seen.length === 60)
    await until(() => open === 0)
    expect(most).toBe(1)
    expect(sent).toBeGreaterThan(0)
    expect(sent).toBeLessThan(60)
  })

  it('an announcement that fails is logged and nothing else', async () => {
    const warn = vi.fn()
    const log = { debug: warn, info: warn, warn, error: warn }
    vi.spyOn(publisher, 'read').mockRejectedValue(new Error('no'))
    await publish(1, { notify: true, log })
    await until(() => warn.mock.calls.length === 1)
    expect(warn).toHaveBeenCalledWith(expect.stringMatching(/could not be told/), expect.anything())
  })

  it('nothing is announced while a relay of the same process holds the partition', async () => {
    await start()
    const read = vi.spyOn(opened.store, 'read')
    const outbox = createOutbox(opened.store, { notify: true })
    await opened.store.transaction((tx) => outbox.publish(tx, { topic: 't', payload: 1 }))
    await until(() => seen.length === 1)
    const texts = read.mock.calls.map(([statement]) => JSON.stringify(statement))
    expect(texts.some((text) => text.includes('pg_notify'))).toBe(false)
  })
})

it('SQLite has no LISTEN/NOTIFY, which is said at once', async () => {
  await using opened = await openStore('sqlite')
  const { store } = opened
  expect(() => createOutbox(store, { notify: true })).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED' }),
  )
  const broker = directBroker({ handle: () => {} })
  const listen = () => Promise.reject(new Error('not called'))
  expect(() => createOutbox(store).relay({ broker, listen })).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED' }),
  )
})
