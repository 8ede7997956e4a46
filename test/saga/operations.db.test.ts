import { writeFileSync } from 'node:fs'
import { sql } from 'holdfast'
import { checkUpgrade, saga, sagaOperations } from 'holdfast/saga'
import { describe, expect, it } from 'vitest'
import { deferred } from '../../src/core/deferred.ts'
import { nextTick } from '../../src/saga/recurring.ts'
import { holdfast } from '../cli/run.ts'
import { tempFolder } from '../support/files.ts'
import { until } from '../support/wait.ts'
import { reusedStores as stores } from './reused.ts'
import { quick, startRunner } from './stores.ts'

describe.each(stores)('operating sagas on $name', ({ name, open }) => {
  const address = (at: string) => (name === 'sqlite' ? `sqlite:${at}` : at)

  it('a stuck saga is shown with its reason, retried, skipped, and forced back', async () => {
    await using opened = await open()
    const { store } = opened
    const cli = (...args: string[]) => holdfast(['sagas', ...args, '--store', address(opened.at)])
    let closed = true
    const log: string[] = []
    const order = saga('order', async (s, how: string) => {
      await s.step('hold', () => {}, { undo: () => void log.push(`undo ${how}`) })
      const f = await s.pivot('pay', () => 7)
      return f.step(
        'ship',
        () => {
          if (closed) throw new Error('the gate is closed')
          return 'shipped'
        },
        { retry: { attemptsMax: 2, ...quick } },
      )
    })
    await using _runner = await startRunner(store, [order])
    const handles = await Promise.all(
      ['retry', 'skip', 'back'].map((how) => order.start(store, how, { id: how })),
    )
    for (const handle of handles) await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_STUCK' })
    const shown = await cli('show', 'retry')
    expect(shown.out).toContain('it is stuck: do of step "ship": the gate is closed')
    expect(shown.out).toMatch(
      /✓ {2}hold[\s\S]*▲ {2}pay pivot[\s\S]*· {2}ship: a try failed[\s\S]*■ {2}stuck at ship/,
    )
    expect((await cli('list', '--state', 'stuck', '--json')).json().sagas.length).toBe(3)
    // An id that is not there, or not stuck, is told before anything is done to those beside it.
    const stuckId = (await cli('list', '--state', 'stuck', '--json')).json().sagas[0].id
    for (const command of ['retry', 'cancel']) {
      const { code, err } = await cli(command, stuckId, 'nowhere')
      expect([code, err]).toEqual([
        1,
        expect.stringMatching(/^holdfast: (there is no saga "nowhere"|saga ".*" is stuck, not running)/),
      ])
    }
    expect((await cli('cancel', 'nowhere')).err).toBe('holdfast: there is no saga "nowhere"\n')
    expect((await cli('list', '--state', 'stuck', '--json')).json().sagas.length).toBe(3)
    expect((await cli('retry', '--all', '--dry-run')).out).toContain('3 sagas would be told to try again')
    expect((await cli('skip-step', 'skip', '--result', '"by hand"')).code).toBe(0)
    expect(await handles[1]?.result()).toBe('by hand')
    expect((await cli('fork', 'back', '--from', 'ship', '--to', 'again')).code).toBe(0)
    await expect(order.get(store, 'again').result()).rejects.toMatchObject({ code: 'SAGA_STUCK' })
    expect((await cli('skip-step', 'again')).code).toBe(0)
    expect(await order.get(store, 'again').result()).toBeUndefined()
    expect((await cli('force-undo', 'back')).code).toBe(0)
    await expect(handles[2]?.result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    expect(log).toEqual(['undo back'])
    closed = false
    expect((await cli('retry', 'retry')).code).toBe(0)
    expect(await handles[0]?.result()).toBe('shipped')
    expect((await cli('retry', 'retry')).err).toContain('not stuck')
    expect((await cli('show', 'nobody')).err).toContain('there is no saga')
    expect((await cli('purge', '--all')).out).toBe('removed 4 sagas\n')
    const [left] = await store.query<{ n: unknown }>(
      sql`select count(*) as n from ${store.table('saga_entry')}`,
    )
    expect(Number(left?.n)).toBe(0)
  })

  it('a waiting saga says what it waits for; signal, cancel and fork work from outside', async () => {
    await using opened = await open()
    const { store } = opened
    const cli = (...args: string[]) => holdfast(['sagas', ...args, '--store', address(opened.at)])
    let runs = 0
    const ask = saga('ask', async (s) => {
      const first = await s.step('first', () => (runs += 1))
      const answer = await s.receive<number>('answer')
      return [first, answer]
    })
    await using runner = await startRunner(store, [ask])
    const handle = await ask.start(store, undefined, { id: 'q' })
    await until(() => runner.figures().inMemory === 0)
    expect((await cli('show', 'q')).out).toContain('it waits to be woken: signal "answer"')
    expect((await cli('signal', 'q', 'answer', '42')).code).toBe(0)
    expect(await handle.result()).toEqual([1, 42])
    expect((await cli('fork', 'q', '--from', 'answer', '--to', 'q2')).code).toBe(0)
    await cli('signal', 'q2', 'answer', '43')
    expect(await ask.get(store, 'q2').result()).toEqual([1, 43])
    await cli('fork', 'q', '--from', 'first', '--to', 'q3')
    await cli('signal', 'q3', 'answer', '44')
    expect(await ask.get(store, 'q3').result()).toEqual([2, 44])
    for (const id of ['', 'x'.repeat(401)]) {
      const { code, err } = await cli('fork', 'q', '--from', 'first', '--to', id)
      expect([code, err]).toEqual([64, expect.stringMatching(/fork: newId must /)])
    }
    await ask.start(store, undefined, { id: 'c' })
    expect((await cli('cancel', 'c')).code).toBe(0)
    await expect(ask.get(store, 'c').result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    const figures = await sagaOperations(store).figures()
    expect(figures).toMatchObject({ byState: { completed: 3, cancelled: 1 }, inFlight: 0, stuck: 0 })
  })

  it('code that changed under a saga makes it stuck with both sides, and check-upgrade tells before', async () => {
    await using opened = await open()
    const { store } = opened
    const old = saga('grow', async (s, input: { n: number }) => {
      await s.step('one', input, () => 1)
      await s.receive('go')
      return 'old'
    })
    {
      await using runner = await startRunner(store, [old])
      await old.start(store, { n: 1 }, { id: 'g' })
      await until(() => runner.figures().inMemory === 0)
    }
    const renamed = saga('grow', async (s, input: { n: number }) => {
      await s.step('uno', input, () => 1)
      await s.receive('go')
      return 'new'
    })
    const otherInput = saga('grow', async (s, input: { n: number }) => {
      await s.step('one', { n: input.n + 1 }, () => 1)
      await s.receive('go')
      return 'new'
    })
    const shorter = saga('grow', async () => 'new')
    const patched = saga('grow', async (s, input: { n: number }) => {
      await s.step('one', input, () => 1)
      await s.receive('go')
      if (s.patched('two')) await s.step('two', () => 2)
      return 'new'
    })
    for (const [code, text] of [
      [renamed, '- journal: step "one"\n+ code:    step "uno"'],
      [otherInput, 'with an input of hash'],
      [shorter, '- journal: step "one"\n+ code:    no such call'],
    ] as const) {
      expect((await checkUpgrade(store, [code])).problems).toEqual([
        { id: 'g', name: 'grow', problem: expect.stringContaining(text) },
      ])
    }
    expect(await checkUpgrade(store, [patched])).toEqual({ checked: 1, problems: [] })
    {
      await using _runner = await startRunner(store, [renamed])
      await renamed.get(store, 'g').signal('go')
      await expect(renamed.get(store, 'g').result()).rejects.toThrow('+ code:    step "uno"')
    }
    await using _runner = await startRunner(store, [patched])
    await sagaOperations(store).retry('g')
    expect(await patched.get(store, 'g').result()).toBe('new')
  })

  it('limits hold over two runners: at a time, for each key, and in a while', async () => {
    await using opened = await open()
    const { store } = opened
    let running = 0
    let most = 0
    const perKey = new Map<string, number>()
    let mostPerKey = 0
    const limited = saga(
      'limited',
      async (s, key: string) => {
        await s.step('work', async () => {
          running += 1
          perKey.set(key, (perKey.get(key) ?? 0) + 1)
          most = Math.max(most, running)
          mostPerKey = Math.max(mostPerKey, perKey.get(key) ?? 0)
          await new Promise((resolve) => setTimeout(resolve, 15))
          running -= 1
          perKey.set(key, (perKey.get(key) ?? 0) - 1)
        })
      },
      { concurrency: 3, key: (key) => key, concurrencyPerKey: 1 },
    )
    await using _a = await startRunner(store, [limited])
    await using _b = await startRunner(store, [limited])
    const handles = await Promise.all(
      Array.from({ length: 12 }, (_, i) => limited.start(store, `k${i % 4}`, { id: `l${i}` })),
    )
    await Promise.all(handles.map((handle) => handle.result()))
    expect(most).toBeLessThanOrEqual(3)
    expect(mostPerKey).toBe(1)
  })

  it('more than a rate allows waits for the next window', async () => {
    await using opened = await open()
    const { store } = opened
    const times: number[] = []
    const rated = saga('rated', async (s) => s.step('work', () => void times.push(performance.now())), {
      rate: { limit: 2, perMs: 300 },
    })
    await using _runner = await startRunner(store, [rated])
    const before = performance.now()
    const handles = await Promise.all(Array.from({ length: 5 }, () => rated.start(store, undefined)))
    await Promise.all(handles.map((handle) => handle.result()))
    times.sort((a, b) => a - b)
    // The first window begins no sooner than the first start.
    expect((times[2] as number) - before).toBeGreaterThan(290)
    expect((times[4] as number) - before).toBeGreaterThan(590)
  })

  it('a higher priority goes first, a later start later', async () => {
    await using opened = await open()
    const { store } = opened
    const order: string[] = []
    const gate = deferred<void>()
    const job = saga('job', async (s) =>
      s.step('work', () => (s.sagaId === 'first' ? gate.promise : void order.push(s.sagaId))),
    )
    await using runner = await startRunner(store, [job], { concurrency: 1 })
    await until(() => runner.figures().partitions === 16)
    await job.start(store, undefined, { id: 'first' })
    await job.start(store, undefined, { id: 'later', afterMs: 600 })
    await job.start(store, undefined, { id: 'low' })
    await job.start(store, undefined, { id: 'high', priority: 5 })
    gate.resolve()
    await Promise.all(['later', 'low', 'high'].map((id) => job.get(store, id).result()))
    expect(order).toEqual(['high', 'low', 'later'])
  })

  it('a recurring saga is started once per tick, though two processes have it', async () => {
    await using opened = await open()
    const { store } = opened
    const ticks: string[] = []
    const tick = saga('tick', async (s, at: string) => s.step('note', () => void ticks.push(at)))
    const recurring = [
      { name: 'every second', cron: '* * * * * *', saga: tick, input: (t: Date) => t.toISOString() },
    ]
    await using _a = await startRunner(store, [tick], { recurring })
    await using _b = await startRunner(store, [tick], { recurring })
    await until(() => ticks.length >= 2, { deadlineMs: 15_000 })
    expect(new Set(ticks).size).toBe(ticks.length)
  })

  it('check-upgrade from the command line reads a module, and ends with 1 when something would break', async () => {
    await using opened = await open()
    const { store } = opened
    using folder = tempFolder('module')
    const file = folder.file('sagas.mjs')
    writeFileSync(
      file,
      `export const one = { name: 'm', code: async (s) => { await s.step('b', () => 1) }, start() {} }\n`,
    )
    const m = saga('m', async (s) => {
      await s.step('a', () => 1)
      await s.receive('go')
    })
    await using runner = await startRunner(store, [m])
    await m.start(store, undefined, { id: 'x' })
    await until(() => runner.figures().inMemory === 0)
    const { code, out } = await holdfast([
      'sagas',
      'check-upgrade',
      '--module',
      file,
      '--store',
      address(opened.at),
    ])
    expect(code).toBe(1)
    expect(out).toContain('+ code:    step "b"')
    expect(out).toContain('1 unfinished saga, 1 would break')
  })
})

it('ticks follow the time zone', () => {
  const after = new Date('2026-03-28T12:00:00Z')
  expect(nextTick('0 9 * * *', 'Europe/Berlin', after)?.toISOString()).toBe('2026-03-29T07:00:00.000Z')
})
