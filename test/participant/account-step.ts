/** The service that the conformance suite examines: one step on accounts, once for each framework. */
import { createServer } from 'node:http'
import express from 'express'
import fastify from 'fastify'
import { type OwnTransaction, type Store, sql } from 'holdfast'
import { effectTables } from 'holdfast/effects'
import {
  createParticipant,
  expressStep,
  fastifyStep,
  type HttpStep,
  honoStep,
  type Participant,
  StepRefusedError,
} from 'holdfast/participant'
import { migrate } from 'holdfast/tables'
import { Hono } from 'hono'
import { z } from 'zod'
import { serve as serveHono } from './hono-server.ts'
import { listen, type Service } from './listen.ts'

const input = z.object({
  account: z.string().min(1),
  amount: z.number().int(),
  outcome: z.enum(['refuse', 'fail']).optional(),
})
type Input = z.infer<typeof input>

export async function prepareAccounts(store: Store): Promise<void> {
  await migrate(store, [effectTables])
  await store.execute(
    'create table account (id text primary key, balance integer not null, held integer not null, applied integer not null)',
  )
}

async function change(
  tx: OwnTransaction,
  { account, outcome }: Input,
  by: { balance?: number; held?: number; applied?: number },
): Promise<{ balance: number }> {
  await tx.execute(
    sql`insert into account (id, balance, held, applied) values (${account}, 0, 0, 0) on conflict (id) do nothing`,
  )
  const { balance = 0, held = 0, applied = 0 } = by
  await tx.execute(
    sql`update account set balance = balance + ${balance}, held = held + ${held}, applied = applied + ${applied} where id = ${account}`,
  )
  if (outcome === 'refuse') throw new StepRefusedError('asked_to', { details: { account } })
  if (outcome === 'fail') throw new Error('asked to fail')
  const [row] = await tx.query<{ balance: number }>(sql`select balance from account where id = ${account}`)
  return { balance: Number(row?.balance) }
}

export const accountStep: HttpStep<Input> = {
  schema: input,
  do: (tx, i) => change(tx, i, { balance: i.amount, applied: 1 }),
  undo: (tx, i) => change(tx, i as Input, { balance: -(i as Input).amount, applied: -1 }),
  try: async (tx, i) => void (await change(tx, i, { held: i.amount })),
  confirm: (tx, i) => {
    const { amount } = i as Input
    return change(tx, i as Input, { held: -amount, balance: amount, applied: 1 })
  },
  cancel: async (tx, i) => void (await change(tx, i as Input, { held: -(i as Input).amount })),
}

export async function readAccount(store: Store, id: string) {
  const [row] = await store.query<{ balance: number; held: number; applied: number }>(
    sql`select balance, held, applied from account where id = ${id}`,
  )
  return row ?? { balance: 0, held: 0, applied: 0 }
}

export const frameworks = ['express', 'express.json()', 'fastify', 'hono'] as const

export async function serveAccounts(
  framework: (typeof frameworks)[number],
  store: Store,
  step: HttpStep<Input> = accountStep,
): Promise<Service> {
  const participant = createParticipant(store, { name: 'accounts' })
  switch (framework) {
    case 'express':
    case 'express.json()':
      return overExpress(participant, step, framework === 'express.json()')
    case 'fastify':
      return overFastify(participant, step)
    case 'hono': {
      const app = new Hono()
      app.post('/step', honoStep(participant, step))
      app.get('/accounts/:id', async (c) => c.json(await readAccount(store, c.req.param('id'))))
      return serveHono(app)
    }
  }
}

async function overExpress(
  participant: Participant,
  step: HttpStep<Input>,
  parsed: boolean,
): Promise<Service> {
  const app = express()
  if (parsed) app.use('/step', express.json())
  app.post('/step', expressStep(participant, step))
  app.get('/accounts/:id', async (request, response) => {
    response.json(await readAccount(participant.store, request.params.id))
  })
  if (parsed) {
    const onError: express.ErrorRequestHandler = (_error, _request, response, _next) => {
      response.status(400).json({ error: { code: 'STEP_INVALID', message: 'the body is no JSON' } })
    }
    app.use(onError)
  }
  return listen(createServer(app))
}

async function overFastify(participant: Participant, step: HttpStep<Input>): Promise<Service> {
  const app = fastify()
  app.route(fastifyStep(participant, '/step', step))
  app.get('/accounts/:id', (request) => readAccount(participant.store, (request.params as { id: string }).id))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { url, [Symbol.asyncDispose]: () => app.close() }
}
