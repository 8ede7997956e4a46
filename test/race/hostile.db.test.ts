/** Names and values that nobody would choose: they are thrown, returned and shown, and the search and its report stay whole. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { errorOf, reportError } from '../../src/race/error-report.ts'
import { decodeSchedule, explore, race, raceHtml, renderReport } from '../../src/race/index.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'

let db: FreshPool
beforeAll(async () => {
  db = await freshPool()
  await db.pool.query('create table account (balance int not null)')
})
afterAll(() => db.drop())

const setup = () => db.pool.query('delete from account; insert into account values (100)')

async function withdraw(amount: number, note: unknown = ''): Promise<void> {
  const { rows } = await db.pool.query('select balance, $1::text as note from account', [note])
  await db.pool.query('update account set balance = $1', [rows[0].balance - amount])
}

const no = (): never => {
  throw new Error('do not look')
}
const hostile = () => new Proxy({}, { get: no, getPrototypeOf: no, ownKeys: no, has: no })

it('a task that throws what cannot be looked at fails, and is named', async () => {
  const thrower = async () => {
    await db.pool.query('select balance from account')
    throw hostile()
  }
  const report = await explore(
    race('throws', { store: db.pool, setup, tasks: { alice: thrower, bob: thrower } }),
  )
  expect(report).toMatchObject({
    ok: true,
    failing: ['alice', 'bob'].map((task) => ({
      task,
      error: expect.stringContaining('cannot be looked at'),
    })),
  })
  expect(renderReport(report)).toMatch(/note: +alice fails in every serial order \(Error: what was thrown/)
})

it('a promise that is let go with it, and a value that holds it, are told as that', async () => {
  const tasks = {
    alice: async () => {
      void Promise.reject({ toJSON: no })
      await withdraw(1)
    },
    bob: async () => {
      await withdraw(2)
      return { hostile: hostile(), seen: true }
    },
  }
  const { finding } = await explore(race('let go', { store: db.pool, setup, tasks }), { remedies: false })
  expect(finding?.outcome.errors[0]).toBe('"[unreadable]"')
  expect(finding?.outcome.values[1]).toBe('{"hostile":"[unreadable]","seen":true}')
})

it('errors cross threads and processes whatever they hold', () => {
  const circular = Object.assign(new Error('a'), { code: () => 1, problems: [1n, Symbol('s')] })
  circular.cause = circular
  for (const thrown of [hostile(), circular, undefined, { a: 1 }, Symbol('s')]) {
    const report = structuredClone(reportError(thrown))
    expect(errorOf(report)).toBeInstanceOf(Error)
  }
  expect(reportError({ a: 1 }).message).toBe('{"a":1}')
})

it('names, texts and values are shown as they are, and command nothing', async () => {
  const [alice, bob] = ['al\u001b[2J\nice <img src=x onerror=alert(1)> & "co"', '\u202ebob\u0000']
  const circular: { toPostgres(): string; self?: unknown } = { toPostgres: () => '\u009b31m<b>' }
  circular.self = circular
  const report = await explore(
    race('na\r\nme \u001b]0;x\u0007<script>', {
      store: db.pool,
      setup,
      tasks: { [alice]: () => withdraw(1, circular), [bob]: () => withdraw(2, '\u009b31m<b>') },
    }),
  )
  const { schedule = '' } = report.finding ?? {}
  expect(decodeSchedule(schedule, 2)).toEqual([0, 1, 1, 0])

  const text = renderReport(report)
  expect(text).not.toMatch(/(?!\n)[\p{Cc}\u202e]/u)
  expect(text).toContain('na me \\u001b]0;x\\u0007<script>: LOST UPDATE\n')
  expect(text).toContain('al\\u001b[2J ice <img')
  expect(text).toContain('"note":"\\u009b31m<b>"')
  // The heads of the columns stand over them.
  const lines = text.split('\n')
  expect(lines.find((line) => line.includes('\\u202ebob'))?.indexOf('\\u202ebob')).toBe(
    lines.find((line) => line.startsWith('   2  '))?.search(/select/),
  )

  const html = raceHtml([report], { title: 'a\u0007<b>' })
  expect(html).not.toMatch(/(?!\n)[\p{Cc}\u202e]|<img|<script|<b>"/u)
  expect(html).toContain('<th>al\\u001b[2J\nice &lt;img src=x onerror=alert(1)&gt; &amp; &quot;co&quot;</th>')

  expect(JSON.parse(JSON.stringify(report)).tasks).toEqual([alice, bob])
  const replayed = await explore(
    race('again', {
      store: db.pool,
      setup,
      tasks: { [alice]: () => withdraw(1, circular), [bob]: () => withdraw(2) },
    }),
    { replay: schedule },
  )
  expect(replayed.finding?.anomaly).toBe('lost update')
})
