/** Handlers of Fastify, Hono, Express and plain `http` as tasks: attributed to whoever called, found, and clean once repaired. */
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { explore, race } from '../../src/race/index.ts'
import { type FreshPool, freshPool, inTransaction } from '../support/postgres.ts'

let db: FreshPool
let pool: pg.Pool
const opened: Server[] = []
beforeAll(async () => {
  db = await freshPool()
  pool = db.pool
  await pool.query('create table account (id text primary key, balance int not null)')
})
afterAll(async () => {
  for (const server of opened) {
    server.closeAllConnections()
    server.close()
  }
  await db.drop()
})

/** What every handler below does with the body of its request. */
async function withdraw({ amount }: { amount: number }, lock: boolean): Promise<{ left: number }> {
  return await inTransaction(pool, async (client) => {
    const { rows } = await client.query(
      `select balance from account where id = 'a' ${lock ? 'for update' : ''}`,
    )
    const left = rows[0].balance - amount
    await client.query(`update account set balance = $1 where id = 'a'`, [left])
    return { left }
  })
}

type Post = (amount: number) => Promise<unknown>

async function listen(server: Server): Promise<string> {
  opened.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/withdraw`
}

const body = (amount: number) => JSON.stringify({ amount })
const headers = { 'content-type': 'application/json' }

function fetches(url: string): Post {
  return async (amount) => {
    const response = await fetch(url, { method: 'POST', headers, body: body(amount) })
    return [response.status, await response.json()]
  }
}

/** The callbacks of `http`, as libraries of their own time use it. */
function requests(url: string): Post {
  return (amount) =>
    new Promise((resolve, reject) => {
      const made = request(url, { method: 'POST', headers }, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk) => {
          text += chunk
        })
        response.on('end', () => resolve([response.statusCode, JSON.parse(text)]))
      })
      made.on('error', reject)
      made.end(body(amount))
    })
}

function expressApp(lock: boolean) {
  const app = express()
  app.use(express.json())
  app.post('/withdraw', async (req, res) => {
    res.json(await withdraw(req.body, lock))
  })
  return createServer(app)
}

function fastifyApp(lock: boolean) {
  const app = fastify()
  app.post('/withdraw', (req) => withdraw(req.body as { amount: number }, lock))
  return app
}

function honoApp(lock: boolean) {
  const app = new Hono()
  app.post('/withdraw', async (c) => c.json(await withdraw(await c.req.json(), lock)))
  return app
}

/** A server as it was before promises: the body is collected by listeners. */
function plainApp(lock: boolean) {
  return createServer((req, res) => {
    let text = ''
    req.on('data', (chunk) => {
      text += chunk
    })
    req.on('end', () => {
      withdraw(JSON.parse(text), lock).then((answer) => res.end(JSON.stringify(answer)))
    })
  })
}

const apps: Record<string, (lock: boolean) => Promise<Post>> = {
  'Fastify by inject': async (lock) => {
    const app = fastifyApp(lock)
    await app.ready()
    return async (amount) => {
      const { statusCode, body } = await app.inject({ method: 'POST', url: '/withdraw', payload: { amount } })
      return [statusCode, JSON.parse(body)]
    }
  },
  'Hono by app.request': async (lock) => {
    const app = honoApp(lock)
    return async (amount) => {
      const response = await app.request('/withdraw', { method: 'POST', headers, body: body(amount) })
      return [response.status, await response.json()]
    }
  },
  'Express over a port, by fetch': async (lock) => fetches(await listen(expressApp(lock))),
  'Express over a port, by http': async (lock) => requests(await listen(expressApp(lock))),
  'Fastify over a port, by fetch': async (lock) => {
    const app = fastifyApp(lock)
    await app.listen({ port: 0, host: '127.0.0.1' })
    opened.push(app.server)
    return fetches(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/withdraw`)
  },
  'plain http over a port, by fetch': async (lock) => fetches(await listen(plainApp(lock))),
}

describe.each(Object.entries(apps))('%s', (name, open) => {
  const look = async (lock: boolean) => {
    const post = await open(lock)
    return explore(
      race(name, {
        store: pool,
        setup: (on) => on.query(`delete from account; insert into account values ('a', 100)`),
        tasks: { alice: () => post(30), bob: () => post(50) },
        options: { remedies: false },
      }),
    )
  }

  it('loses an update, each statement in the column of its caller', async () => {
    const { finding } = await look(false)
    expect(finding?.anomaly).toBe('lost update')
    expect(finding?.preemptions).toBe(1)
    const updates = finding?.steps.filter(({ text }) => text.startsWith('update'))
    expect(updates?.map(({ task, values }) => [task, values]).sort()).toEqual([
      ['alice', [70]],
      ['bob', [50]],
    ])
  })

  it('is clean with the row lock, in every schedule', async () => {
    const { finding, coverage } = await look(true)
    expect(finding?.explanation).toBeUndefined()
    expect(coverage.exhaustive).toBe(true)
  })
})

describe('what a handler does besides', () => {
  const setup = (on: { query(text: string): Promise<unknown> }) =>
    on.query(`delete from account; insert into account values ('a', 100), ('b', 100)`)

  it('a deadlock is that of the callers, without timers of the client in between', async () => {
    const url = await listen(
      createServer((req, res) => {
        const [from, to] = req.url?.endsWith('ab') ? ['a', 'b'] : ['b', 'a']
        const move = inTransaction(pool, async (client) => {
          await client.query('update account set balance = balance - 1 where id = $1', [from])
          await client.query('update account set balance = balance + 1 where id = $1', [to])
        })
        move.then(
          () => res.end('moved'),
          (error) => res.writeHead(500).end(error.code),
        )
      }),
    )
    const call = (path: string) => async () => {
      const response = await fetch(`${url}/${path}`)
      if (!response.ok) throw new Error(await response.text())
    }
    const { finding } = await explore(
      race('moves', {
        store: pool,
        setup,
        tasks: { ab: call('ab'), ba: call('ba') },
        options: { remedies: false },
      }),
    )
    expect(finding?.anomaly).toBe('deadlock')
    expect(finding?.deadlock).toMatchObject([
      { task: 'ab', waitsFor: ['ba'] },
      { task: 'ba', waitsFor: ['ab'] },
    ])
    expect(new Set(finding?.steps.map(({ kind }) => kind))).toEqual(new Set(['statement']))
  })

  it('several requests of one task at once stay its own', async () => {
    const post = fetches(await listen(expressApp(true)))
    const twice = async (amount: number) => void (await Promise.all([post(amount), post(amount)]))
    const definition = {
      store: pool,
      setup,
      tasks: { alice: () => twice(10), bob: async () => void (await post(1)) },
    }
    const options = { schedules: 25, remedies: false }
    const report = await explore(race('several', { ...definition, options }))
    expect(report.finding?.explanation).toBeUndefined()
  })

  it.each([
    ['fetch', (url: string) => fetches(url)(1)],
    ['http.request', (url: string) => requests(url)(1)],
  ])('a call by %s to another process fails with where it leads', async (_, call) => {
    const { hostname, port } = new URL(db.url)
    const url = await listen(
      createServer((_req, res) => {
        call(`http://${hostname}:${port}/charge`).catch(() => res.end())
      }),
    )
    const search = explore(
      race('charge', { store: pool, setup, tasks: { one: () => fetch(url), two: () => {} } }),
    )
    await expect(search).rejects.toMatchObject({
      code: 'RACE_UNCONTROLLED_AWAIT',
      message: expect.stringContaining(`${hostname}:${port}`),
      cause: { stack: expect.stringContaining('http.db.test.ts') },
    })
  })

  it('a handler that never answers fails, it does not hang', async () => {
    const url = await listen(createServer(() => {}))
    const search = explore(
      race('silent', { store: pool, setup, tasks: { one: () => fetch(url), two: () => {} } }),
    )
    await expect(search).rejects.toMatchObject({ code: 'RACE_UNCONTROLLED_AWAIT' })
  })
})
