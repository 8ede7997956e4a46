/** Group commit, by itself: what goes into which statement, in which order, and who is told what. */
import { type Sql, type Store, sql } from 'holdfast'
import { postgresDialect } from 'holdfast/postgres'
import { describe, expect, it } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import type { Entry } from '../../src/saga/entry.ts'
import { Journal } from '../../src/saga/journal.ts'
import type { Guard } from '../../src/saga/journal-statements.ts'

interface Sent {
  /** The sagas whose entries it has, each with its entries. */
  readonly entries: readonly string[]
  answer(): void
  fail(code: string): void
}

const HERE: Guard = { partition: 'default/0', epoch: 3n }
const GONE: Guard = { partition: 'default/1', epoch: 2n }

/** A journal on a database that answers when the test says so. `GONE` has passed to another. */
function journalOn({ inFlightMax = 1, batchMax = 100 } = {}) {
  const sent: Sent[] = []
  let held = true
  const store = {
    dialect: postgresDialect,
    table: (name: string) => sql.ident(name),
    clock: { sleep: () => new Promise((resolve) => setImmediate(resolve)), random: () => 0.5 },
    autocommit: (statement: Sql) =>
      new Promise((resolve, reject) => {
        const values = statement.parts.flatMap((part) => (part.kind === 'value' ? [part.value].flat(2) : []))
        sent.push({
          entries: values.filter(
            (value) => typeof value === 'string' && /^[a-z]#\d+$/.test(value),
          ) as string[],
          answer: () => resolve([{ name: HERE.partition, epoch: `${HERE.epoch}` }]),
          fail: (code) => reject(Object.assign(new Error(code), { code })),
        })
      }),
  } as unknown as Store
  const journal = new Journal(store, () => held, { inFlightMax, batchMax, log: silentLog })
  const ends: string[] = []
  let count = 0
  return {
    journal,
    sent,
    /** Who was told, in order. */
    ends,
    lose: () => {
      held = false
    },
    append(sagaId: string, guard = HERE): void {
      const share = journal.share(sagaId, 'saga', guard)
      count += 1
      const entry: Entry = {
        seq: count,
        kind: 'step',
        step: `${sagaId}#${count}`,
        pos: count,
        hash: null,
        data: null,
        atMs: 0,
      }
      share.entries.push(entry)
      share.durable.then(
        () => ends.push(entry.step),
        (error: { code: string }) => ends.push(`${entry.step} ${error.code}`),
      )
    },
  }
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}
const entriesOf = (sent: readonly Sent[]) => sent.map(({ entries }) => entries)

describe('group commit', () => {
  it('what arrives in one turn goes out as one statement', async () => {
    const { sent, ends, append } = journalOn()
    for (const saga of ['a', 'b', 'a', 'c']) append(saga)
    expect(sent).toEqual([])
    await turns()
    expect(entriesOf(sent)).toEqual([['a#1', 'a#3', 'b#2', 'c#4']])
    expect(ends).toEqual([])
    sent[0]?.answer()
    await turns()
    expect([...ends].sort()).toEqual(['a#1', 'a#3', 'b#2', 'c#4'])
  })

  it('while batches are under way, what comes collects for the next one', async () => {
    const { sent, append } = journalOn({ inFlightMax: 2 })
    for (const saga of ['a', 'b', 'c', 'd', 'e']) {
      append(saga)
      await turns()
    }
    expect(entriesOf(sent)).toEqual([['a#1'], ['b#2']])
    sent[1]?.answer()
    await turns()
    expect(entriesOf(sent).slice(2)).toEqual([['c#3', 'd#4', 'e#5']])
  })

  it('a saga has one share under way: its entries become durable in their order, beside those of others', async () => {
    const { sent, ends, append } = journalOn({ inFlightMax: 2 })
    append('a')
    await turns()
    append('a')
    append('b')
    await turns()
    expect(entriesOf(sent)).toEqual([['a#1'], ['b#3']])
    sent[1]?.answer()
    await turns()
    expect(sent.length).toBe(2)
    sent[0]?.answer()
    await turns()
    expect(entriesOf(sent).slice(2)).toEqual([['a#2']])
    expect(ends).toEqual(['b#3', 'a#1'])
  })

  it('a batch has a bound, and the rest follows', async () => {
    const { sent, append } = journalOn({ batchMax: 2 })
    for (const saga of ['a', 'b', 'c', 'd', 'e']) append(saga)
    for (let i = 0; i < 3; i++) {
      await turns()
      sent[i]?.answer()
    }
    expect(entriesOf(sent)).toEqual([['a#1', 'b#2'], ['c#3', 'd#4'], ['e#5']])
  })

  it.each(['STATEMENT_FAILED', 'CONSTRAINT_VIOLATED', 'PAYLOAD_INVALID', 'CONFIG_INVALID'])(
    'a batch that is refused (%s) is sent share by share: the bad one alone is told',
    async (code) => {
      const { sent, ends, append } = journalOn()
      for (const saga of ['a', 'b', 'c']) append(saga)
      await turns()
      sent[0]?.fail(code)
      await turns()
      expect(entriesOf(sent).slice(1)).toEqual([['a#1'], ['b#2'], ['c#3']])
      sent[1]?.answer()
      sent[2]?.fail(code)
      sent[3]?.answer()
      await turns()
      expect([...ends].sort()).toEqual(['a#1', `b#2 ${code}`, 'c#3'])
      append('b')
      await turns()
      sent[4]?.answer()
      await turns()
      expect(ends).toContain('b#4')
    },
  )

  it('a batch without an answer is sent again as it is, and nobody is told before', async () => {
    const { sent, ends, append } = journalOn()
    append('a')
    append('b')
    await turns()
    for (const code of ['STORE_UNAVAILABLE', 'COMMIT_UNKNOWN', 'SERIALIZATION']) {
      sent.at(-1)?.fail(code)
      await turns()
    }
    append('c')
    await turns()
    expect(entriesOf(sent)).toEqual(Array(4).fill(['a#1', 'b#2']))
    expect(ends).toEqual([])
    sent.at(-1)?.answer()
    await turns()
    expect(ends).toEqual(['a#1', 'b#2'])
    expect(entriesOf(sent).at(-1)).toEqual(['c#3'])
  })

  it('a share whose epoch has passed is refused, and those beside it are not', async () => {
    const { sent, ends, append } = journalOn()
    append('a')
    append('b', GONE)
    await turns()
    sent[0]?.answer()
    await turns()
    expect(ends).toEqual(['a#1', 'b#2 STALE_EPOCH'])
  })

  it('without its lease, nothing is sent again', async () => {
    const { sent, ends, append, lose } = journalOn()
    append('a')
    await turns()
    lose()
    sent[0]?.fail('STORE_UNAVAILABLE')
    await turns()
    append('a')
    await turns()
    expect(sent.length).toBe(1)
    expect(ends).toEqual(['a#1 STALE_EPOCH', 'a#2 STALE_EPOCH'])
  })

  it('a share that was taken out waits for what is under way, and can be put back before what came later', async () => {
    const { journal, sent, append } = journalOn()
    append('a')
    await turns()
    append('a')
    const taking = journal.take('a')
    sent[0]?.answer()
    const taken = await taking
    expect(taken?.entries.map((entry) => entry.step)).toEqual(['a#2'])
    append('a')
    if (taken !== undefined) journal.putBack(taken)
    await turns()
    expect(entriesOf(sent).slice(1)).toEqual([['a#2', 'a#3']])
    sent[1]?.answer()
    await journal.drained()
    expect(journal.durable('a')).toBeUndefined()
  })
})
