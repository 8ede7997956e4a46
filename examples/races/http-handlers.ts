/** The lost update behind HTTP: one handler in Fastify, Hono and Express, called in process as clients call it. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fastify from 'fastify'
import { race } from 'holdfast/race'
import { Hono } from 'hono'
import pg from 'pg'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })

async function withdraw(amount: number): Promise<{ status: 200 | 409; left: number }> {
  const { rows } = await pool.query(`select balance from account where id = 'acct'`)
  const left = rows[0].balance - amount
  if (left < 0) return { status: 409, left: rows[0].balance }
  await pool.query(`update account set balance = $1 where id = 'acct'`, [left])
  return { status: 200, left }
}

const withFastify = fastify()
withFastify.post<{ Body: { amount: number } }>('/withdraw', async (request, reply) => {
  const { status, left } = await withdraw(request.body.amount)
  return reply.code(status).send({ left })
})
await withFastify.ready()

const withHono = new Hono()
withHono.post('/withdraw', async (c) => {
  const { status, left } = await withdraw((await c.req.json()).amount)
  return c.json({ left }, status)
})

const withExpress = express().use(express.json())
withExpress.post('/withdraw', async (request, response) => {
  const { status, left } = await withdraw(request.body.amount)
  response.status(status).json({ left })
})
const server = createServer(withExpress)
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as AddressInfo

/** The answer's status is compared too: both were told that they got the money. */
function two(name: string, post: (amount: number) => Promise<number>) {
  return race(name, {
    store: pool,
    setup: (db) =>
      db.query(`create table if not exists account (id text primary key, balance int not null);
                delete from account; insert into account values ('acct', 100)`),
    tasks: { alice: () => post(80), bob: () => post(50) },
  })
}

const sent = (amount: number) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ amount }),
})

export default [
  two('Fastify, by inject', async (amount) => {
    const { statusCode } = await withFastify.inject({ method: 'POST', url: '/withdraw', payload: { amount } })
    return statusCode
  }),
  two('Hono, by app.request', async (amount) => (await withHono.request('/withdraw', sent(amount))).status),
  two('Express, over a local port', async (amount) => {
    const response = await fetch(`http://127.0.0.1:${port}/withdraw`, sent(amount))
    await response.arrayBuffer()
    return response.status
  }),
]
