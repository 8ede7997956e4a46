import { createServer } from 'node:http'
import express from 'express'
import { callStep, createParticipant, expressStep } from 'holdfast/participant'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { describeParticipantConformance } from 'holdfast/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { holdfast } from '../cli/run.ts'
import { tempFolder } from '../support/files.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'
import { accountStep, frameworks, prepareAccounts, readAccount, serveAccounts } from './account-step.ts'
import { listen, type Service } from './listen.ts'

let database: FreshPool
beforeAll(async () => {
  database = await freshPool({ max: 10 })
  await prepareAccounts(postgres(database.pool))
})
afterAll(() => database.drop())

for (const framework of frameworks) {
  let service: Service
  beforeAll(async () => {
    service = await serveAccounts(framework, postgres(database.pool))
  })
  afterAll(() => service[Symbol.asyncDispose]())
  describeParticipantConformance({ describe, it }, `${framework} on PostgreSQL`, () => service.url)
}

describe('holdfast participant check', () => {
  it('passes for a participant on SQLite', async () => {
    using folder = tempFolder('participant')
    await using store = sqlite({ open: () => openSqlite(folder.file('a.db')), synchronous: 'normal' })
    await prepareAccounts(store)
    await using service = await serveAccounts('express', store)
    const { code, out } = await holdfast(['participant', 'check', service.url])
    expect([code, out]).toEqual([0, expect.stringMatching(/(\d+) of \1 passed/)])
  })

  it('finds a participant whose undo forgets its mark, and says what came instead', async () => {
    const store = postgres(database.pool)
    const participant = createParticipant(store, { name: 'forgetful' })
    // The mark is left in another step's place, as if it had not been left.
    const forgetful = {
      ...participant,
      transaction: ((call, work, options) =>
        participant.transaction(
          call.phase === 'undo' ? { ...call, saga: `${call.saga} undo` } : call,
          work,
          options,
        )) as typeof participant.transaction,
    }
    const step = expressStep(forgetful, accountStep)
    const app = express()
    app.post('/step', step)
    app.get('/accounts/:id', async (q, a) => void a.json(await readAccount(store, q.params.id)))
    await using service = await listen(createServer(app))
    const { code, json } = await holdfast(['participant', 'check', service.url, '--json'])
    expect(code).toBe(1)
    expect(json().results).toContainEqual({
      name: 'undo of a step that never came leaves a mark: the step that comes late is refused',
      passed: false,
      problem: 'do, late: the status: want 410, got 200',
    })
  })

  it('says that nothing answers, and refuses what is no URL', async () => {
    const { code, out } = await holdfast(['participant', 'check', 'http://127.0.0.1:1/x'])
    expect([code, out]).toEqual([1, expect.stringMatching(/ECONNREFUSED|bad port/)])
    expect((await holdfast(['participant', 'check', 'shop'])).code).toBe(64)
  })
})

describe('callStep', () => {
  it('gives the result, and each refusal as its own error', async () => {
    const store = postgres(database.pool)
    await using service = await serveAccounts('fastify', store)
    const url = `${service.url}/step`
    const base = { saga: 'call/1 ü', step: 'charge', epoch: 2n, input: { account: 'c1', amount: 7 } } as const
    expect(await callStep(url, { ...base, phase: 'do' })).toEqual({ kind: 'done', result: { balance: 7 } })
    expect(await callStep(url, { ...base, phase: 'do' })).toEqual({
      kind: 'repeated',
      result: { balance: 7 },
    })
    await expect(callStep(url, { ...base, phase: 'do', epoch: 1n })).rejects.toMatchObject({
      code: 'STALE_EPOCH',
      presented: 1n,
      current: 2n,
    })
    await callStep(url, { ...base, phase: 'undo' })
    await expect(callStep(url, { ...base, phase: 'do' })).rejects.toMatchObject({ code: 'STEP_UNDONE' })
    const refused = { ...base, step: 'r', phase: 'do', input: { ...base.input, outcome: 'refuse' } } as const
    await expect(callStep(url, refused)).rejects.toMatchObject({
      code: 'STEP_REFUSED',
      reason: 'asked_to',
      details: { account: 'c1' },
    })
    const wrong = { ...base, step: 'w', phase: 'do', input: { account: '' } } as const
    await expect(callStep(url, wrong)).rejects.toMatchObject({ code: 'STEP_INVALID', status: 400 })
    const failing = { ...base, step: 'f', phase: 'do', input: { ...base.input, outcome: 'fail' } } as const
    await expect(callStep(url, failing)).rejects.toMatchObject({
      code: 'STEP_UNANSWERED',
      outcome: 'unknown',
      status: 500,
    })
    expect(await readAccount(store, 'c1')).toEqual({ balance: 0, held: 0, applied: 0 })
  })

  it('a result that lacks a field is an error of the step, not an undefined later', async () => {
    await using service = await serveAccounts('hono', postgres(database.pool))
    const call = {
      saga: 'call/2',
      step: 's',
      phase: 'do',
      epoch: 0n,
      input: { account: 'c2', amount: 1 },
    } as const
    await expect(
      callStep(`${service.url}/step`, { ...call, schema: z.object({ id: z.string() }) }),
    ).rejects.toMatchObject({ code: 'STEP_ANSWER_INVALID', outcome: 'applied' })
  })

  it('no answer leaves it open whether the step ran', async () => {
    const call = { saga: 's', step: 's', phase: 'do', epoch: 0n } as const
    await expect(callStep('http://127.0.0.1:9/', { ...call, timeoutMs: 2_000 })).rejects.toMatchObject({
      code: 'STEP_UNANSWERED',
      outcome: 'unknown',
    })
    await expect(
      callStep('http://127.0.0.1:9/', { ...call, signal: AbortSignal.abort(new Error('stop')) }),
    ).rejects.toThrow('stop')
  })
})
