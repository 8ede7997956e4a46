/** The guard: in TypeScript, as SQL, and over HTTP, on both stores. */
import { readFileSync } from 'node:fs'
import express from 'express'
import { type Store, sql } from 'holdfast'
import {
  type FencedLock,
  type FencingRequest,
  fence,
  fenceSql,
  fencingHeader,
  fencingMiddleware,
} from 'holdfast/fence'
import { createLocks, type ExclusiveLock, type Locks } from 'holdfast/lock'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { stores } from '../inbox/stores.ts'

describe.each(stores)('the guard on $name', ({ name, open }) => {
  let opened: Awaited<ReturnType<typeof open>>
  let store: Store
  let locks: Locks
  let old: ExclusiveLock
  let next: ExclusiveLock
  beforeEach(async () => {
    opened = await open()
    store = opened.store
    locks = createLocks(store)
    old = await locks.acquire('invoice:42')
    await locks.forceRelease('invoice:42')
    next = await locks.acquire('invoice:42')
  })
  afterEach(async () => {
    await locks.close()
    await opened[Symbol.asyncDispose]()
  })

  const present = (lock: FencedLock) => store.transaction((tx) => fence(tx, lock))
  const codeOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'fulfilled',
      (error) => error.code,
    )

  it('refuses a holder once its successor has written, and accepts the successor again', async () => {
    expect(old.isHeld()).toBe(true) // it has not heard yet
    expect(await codeOf(present(old))).toBe('fulfilled')
    expect(await codeOf(present(next))).toBe('fulfilled')
    expect(await codeOf(present(old))).toBe('STALE_FENCE')
    expect(await codeOf(present(next))).toBe('fulfilled')
    const rows = await store.query<{ token: string | number }>(sql`select token from ${store.table('fence')}`)
    expect(rows.map((row) => BigInt(row.token))).toEqual([next.token])
  })

  it('refuses an equal token from another holder, as after lost data of an engine', async () => {
    await present(next)
    expect(
      await codeOf(present({ ...next, mode: 'exclusive', name: next.name, token: next.token, holder: 'b' })),
    ).toBe('STALE_FENCE')
  })

  it('a token of another lock guards another resource', async () => {
    await present(next)
    await using other = await locks.acquire('invoice:43')
    expect(await codeOf(present(other))).toBe('fulfilled')
    expect(await codeOf(present(next))).toBe('fulfilled')
  })

  it('takes several locks at once, and none that is shared', async () => {
    await using set = await locks.acquire(['b', 'a'])
    await store.transaction((tx) => fence(tx, set.locks))
    await using reader = await locks.acquireShared('c')
    // @ts-expect-error: a shared lock is not for the guard
    expect(await codeOf(store.transaction((tx) => fence(tx, reader)))).toBe('CONFIG_INVALID')
  })

  it.each([
    ['none', []],
    ['nothing among them', [null]],
    ['nothing after a name', [{ mode: 'exclusive', name: 'a', token: 1n, holder: 'h' }, null]],
  ])('a list with %s is refused, since it would guard nothing', async (_, list) => {
    expect(await codeOf(store.transaction((tx) => fence(tx, list as never)))).toBe('CONFIG_INVALID')
  })

  it('is the same as SQL', async () => {
    for (const text of fenceSql(store)) await store.execute(text)
    const call = (lock: FencedLock) =>
      store.transaction<unknown>((tx) =>
        name === 'sqlite'
          ? tx.execute(
              sql`insert into ${store.table('present')} values (${lock.name}, ${lock.token}, ${lock.holder})`,
            )
          : tx.query(sql`select ${store.table('present')}(${lock.name}, ${lock.token}, ${lock.holder})`),
      )
    await call(old)
    await call(next)
    await expect(call(old)).rejects.toThrow()
    await expect(call({ ...stub(next), holder: 'b' })).rejects.toThrow()
    await call(next)
    expect(await codeOf(present(old))).toBe('STALE_FENCE')
  })

  it('works over HTTP', async () => {
    const app = express()
    app.post(
      '/invoices/:id/close',
      fencingMiddleware({
        resource: (request) => `invoice:${(request as { params?: { id: string } }).params?.id}`,
      }),
      async (request, response) => {
        const code = await codeOf(present((request as FencingRequest).fencing as FencedLock))
        response.status(code === 'fulfilled' ? 200 : 409).end()
      },
    )
    const server = app.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const at = `http://127.0.0.1:${(server.address() as { port: number }).port}/invoices`
    const status = async (id: string, headers: Record<string, string>) =>
      (await fetch(`${at}/${id}/close`, { method: 'POST', headers })).status
    try {
      expect(await status('42', fencingHeader(next))).toBe(200)
      expect(await status('42', fencingHeader(old))).toBe(409)
      expect(await status('43', fencingHeader(next))).toBe(400)
      expect(await status('42', {})).toBe(428)
      for (const bad of [
        'x',
        '-1; name="a"; holder="b"',
        '1',
        '1; name=""; holder="b"',
        '99999999999999999999; name="a"; holder="b"',
      ]) {
        expect(await status('42', { 'fencing-token': bad })).toBe(400)
      }
    } finally {
      server.close()
    }
  })
})

it('the SQL of docs/how-to/locks.md is what fenceSql gives', async () => {
  const opened = await (stores[1] as (typeof stores)[1]).open()
  try {
    const page = readFileSync(new URL('../../docs/how-to/locks.md', import.meta.url), 'utf8')
    const [, block = ''] = /```sql\n([\s\S]*?);\n```/.exec(page) ?? []
    expect(
      fenceSql(opened.store)[0]
        ?.replaceAll('"holdfast_', 'holdfast_')
        .replace(/(holdfast_\w+)"/g, '$1'),
    ).toBe(block)
  } finally {
    await opened[Symbol.asyncDispose]()
  }
})

function stub({ name, token, holder }: FencedLock): FencedLock {
  return { mode: 'exclusive', name, token, holder }
}
