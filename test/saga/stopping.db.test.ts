/** What stops a saga, and what does not: cancellation, time, the pivot, a race that is lost, the runner's end. */
import { type ForwardContext, type SagaContext, saga } from 'holdfast/saga'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { deferred } from '../../src/core/deferred.ts'
import { until } from '../support/wait.ts'
import { reusedStores as stores } from './reused.ts'
import { quick, startRunner } from './stores.ts'

/** Fulfils when the signal fires, with its reason. */
const aborted = (signal: AbortSignal) =>
  new Promise<unknown>((resolve) => signal.addEventListener('abort', () => resolve(signal.reason)))

describe.each(stores)('what stops a saga on $name', ({ open }) => {
  it('a cancel reaches the running step, whose outcome is then unknown, and everything is undone', async () => {
    await using opened = await open()
    const { store } = opened
    const log: unknown[] = []
    const job = saga('job', async (s) => {
      await s.step('first', () => 1, { undo: ({ result }) => void log.push(['undo first', result]) })
      await s.step(
        'running',
        async ({ signal }) => {
          log.push('running')
          const reason = (await aborted(signal)) as { code: string }
          log.push(reason.code)
          throw reason
        },
        { undo: ({ result }) => void log.push(['undo running', result]) },
      )
      log.push('never')
    })
    await using _runner = await startRunner(store, [job])
    const handle = await job.start(store, undefined)
    await until(() => log.length === 1)
    expect(await handle.cancel()).toBe(true)
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    expect(log).toEqual(['running', 'SAGA_CANCELLED', ['undo running', undefined], ['undo first', 1]])
    expect(await handle.cancel()).toBe(false)
  })

  it('a cancel that comes before the saga has begun leaves nothing to undo', async () => {
    await using opened = await open()
    const { store } = opened
    let ran = 0
    const job = saga('job', async (s) => s.step('step', () => (ran += 1), { undo: () => (ran += 1) }))
    const handle = await job.start(store, undefined)
    await handle.cancel()
    await using _runner = await startRunner(store, [job])
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    expect(ran).toBe(0)
  })

  it('a step that does not heed its signal is waited for no longer than abandonMs, and is undone', async () => {
    await using opened = await open()
    const { store } = opened
    let begun = false
    const undone: unknown[] = []
    const job = saga('job', async (s) => {
      await s.step(
        'deaf',
        () => {
          begun = true
          return new Promise(() => {})
        },
        { undo: ({ result }) => void undone.push(result) },
      )
    })
    await using _runner = await startRunner(store, [job], { abandonMs: 30 })
    const handle = await job.start(store, undefined)
    await until(() => begun)
    await handle.cancel()
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    expect(undone).toEqual([undefined])
  })

  it('an error that is declared final is not tried again, by its own word or by the policy', async () => {
    await using opened = await open()
    const { store } = opened
    const tries = { own: 0, policy: 0 }
    const job = saga('job', async (s, which: 'own' | 'policy') => {
      await s.step(
        'step',
        () => {
          tries[which] += 1
          throw Object.assign(new Error('no'), which === 'own' ? { final: true } : { status: 422 })
        },
        { retry: { ...quick, isFinal: (error) => (error as { status?: number }).status === 422 } },
      )
    })
    await using _runner = await startRunner(store, [job])
    await expect(job.run(store, 'own')).rejects.toThrow('no')
    await expect(job.run(store, 'policy')).rejects.toThrow('no')
    expect(tries).toEqual({ own: 1, policy: 1 })
  })

  it('behind the pivot nothing is undone: not by a cancel, by time, or by an error, and it says so before any effect', async () => {
    await using opened = await open()
    const { store } = opened
    const log: string[] = []
    let waiting = 0
    const job = saga('job', async (s, how: 'cancel' | 'time' | 'error') => {
      await s.step('before', () => {}, { undo: () => void log.push('undo before') })
      const f = await s.pivot('point', () => {})
      const old = await s
        .transaction('old', store, async () => void log.push('old handle'))
        .catch((error: { code: string }) => error.code)
      // An undo that JavaScript lets through.
      await f.step('after', () => {}, { undo: () => void log.push('undo after') } as never)
      if (how === 'error') throw new Error('too late')
      waiting += 1
      await f.receive('go')
      return old
    })
    await using _runner = await startRunner(store, [job])
    const cancelled = await job.start(store, 'cancel')
    const startedAtMs = performance.now()
    const late = await job.start(store, 'time', { timeoutMs: 1_000 })
    await until(() => waiting === 2, { what: 'both to be behind the pivot' })
    await cancelled.cancel()
    await until(() => performance.now() - startedAtMs > 1_100, { what: 'the time of one to pass' })
    for (const handle of [cancelled, late]) {
      await handle.signal('go')
      expect(await handle.result()).toBe('PIVOT_PASSED')
    }
    await expect(job.run(store, 'error')).rejects.toMatchObject({
      code: 'SAGA_STUCK',
      message: expect.stringContaining('too late'),
    })
    expect(log).toEqual([])
  })

  it('a race cancels what loses: its running step is told, undone, and nothing of it goes on', async () => {
    await using opened = await open()
    const { store } = opened
    const log: unknown[] = []
    const job = saga('job', async (s) => {
      const won = await s.race('offer', {
        slow: async (b) => {
          await b.step('asked', () => 'yes', { undo: ({ result }) => void log.push(['undo asked', result]) })
          await b.step(
            'running',
            async ({ signal }) => {
              log.push('running')
              const reason = (await aborted(signal)) as Error
              log.push(reason.name)
              throw reason
            },
            { undo: ({ result }) => void log.push(['undo running', result]) },
          )
          log.push('went on')
          return 'slow'
        },
        fast: async (b) => {
          await b.step('wait', () => until(() => log.includes('running')))
          return 'fast'
        },
      })
      log.push(won)
      return won
    })
    await using _runner = await startRunner(store, [job])
    expect(await job.run(store, undefined)).toBe('fast')
    expect(log).toEqual([
      'running',
      'RaceLostError',
      ['undo running', undefined],
      ['undo asked', 'yes'],
      'fast',
    ])
  })

  it('no more sagas run in a process than its concurrency', async () => {
    await using opened = await open()
    const { store } = opened
    let running = 0
    let most = 0
    const job = saga('job', async (s) => {
      await s.step('work', async () => {
        running += 1
        most = Math.max(most, running)
        for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
        running -= 1
      })
    })
    await using _runner = await startRunner(store, [job], { concurrency: 3 })
    const handles = await Promise.all(Array.from({ length: 30 }, () => job.start(store, undefined)))
    await Promise.all(handles.map((handle) => handle.result()))
    expect(most).toBe(3)
  })

  it('a runner that is stopped lets each saga finish the step it is at, and takes none up again', async () => {
    await using opened = await open()
    const { store } = opened
    const begun: string[] = []
    const gate = deferred<void>()
    const job = saga('job', async (s) => {
      for (const step of ['first', 'second', 'third'])
        await s.step(step, () => {
          begun.push(step)
          return gate.promise
        })
    })
    const runner = await startRunner(store, [job])
    await job.start(store, undefined)
    await until(() => begun.length === 1)
    const stopped = runner.stop()
    gate.resolve()
    await stopped
    expect(begun).toEqual(['first'])
  })
})

it('the handle behind the pivot offers no undo, no try, and no way back', () => {
  type Options = Exclude<Parameters<ForwardContext['step']>[2], undefined>
  expectTypeOf<SagaContext>().toHaveProperty('tcc')
  expectTypeOf<ForwardContext>().not.toHaveProperty('tcc')
  expectTypeOf<ForwardContext>().not.toHaveProperty('pivot')
  expectTypeOf<Options>().not.toHaveProperty('undo')
  expectTypeOf<Parameters<ForwardContext['http']>[1]>().not.toHaveProperty('undo')
  expectTypeOf<Parameters<ForwardContext['message']>[1]>().not.toHaveProperty('undo')
  const misuse = (f: ForwardContext) =>
    // @ts-expect-error nothing is undone behind the pivot
    f.step('late', () => 1, { undo: () => {} })
  expect(misuse).toBeTypeOf('function')
})
