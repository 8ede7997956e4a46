import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DatabaseAddress, loadSqlite, openPgPool } from '../shared/database.ts'
import { SERVICES, type ServiceName } from '../shared/domain.ts'
import { createTables } from '../shared/schema.ts'
import type { Workload } from './workload.ts'

/** The five databases of one run: one for each service and one for the queue between them. */
export interface Storage {
  readonly addresses: Readonly<Record<ServiceName | 'queue', DatabaseAddress>>
  /** Removes them. */
  remove(): Promise<void>
}

export interface StorageOptions {
  /** A PostgreSQL server; undefined means SQLite files. */
  readonly postgresUrl: string | undefined
  /** Where the files stay; undefined means a temporary folder that is removed. */
  readonly keepFolder: string | undefined
}

const DATABASES = [...SERVICES, 'queue'] as const

/** Creates the databases of the run called `name`, with the tables and the opening rows of the workload. */
export async function createStorage(
  name: string,
  workload: Workload,
  options: StorageOptions,
): Promise<Storage> {
  const storage =
    options.postgresUrl === undefined
      ? createFiles(name, options.keepFolder)
      : await createDatabases(options.postgresUrl, name, options.keepFolder !== undefined)
  try {
    for (const service of SERVICES) await fill(storage.addresses[service], service, workload)
  } catch (error) {
    await storage.remove()
    throw error
  }
  return storage
}

function createFiles(name: string, keepFolder: string | undefined): Storage {
  const folder =
    keepFolder === undefined ? mkdtempSync(join(tmpdir(), 'holdfast-demo-')) : join(keepFolder, name)
  if (keepFolder !== undefined) {
    mkdirSync(folder, { recursive: true })
    // Those of an earlier run go, and nothing else: the folder may be one that the user has for other things.
    for (const database of DATABASES)
      for (const end of ['', '-wal', '-shm']) rmSync(join(folder, `${database}.db${end}`), { force: true })
  }
  return {
    addresses: each((database) => ({ kind: 'sqlite', path: join(folder, `${database}.db`) })),
    async remove() {
      if (keepFolder === undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

async function createDatabases(serverUrl: string, name: string, keep: boolean): Promise<Storage> {
  const run = `holdfast_demo_${randomBytes(3).toString('hex')}_${name.replaceAll('-', '_')}`
  const databaseName = (database: string): string => `${run}_${database}`
  await onServer(serverUrl, async (query) => {
    for (const database of DATABASES) await query(`create database ${databaseName(database)}`)
  })
  return {
    addresses: each((database) => {
      const url = new URL(serverUrl)
      url.pathname = `/${databaseName(database)}`
      return { kind: 'postgres', url: url.href }
    }),
    async remove() {
      if (keep) return
      await onServer(serverUrl, async (query) => {
        for (const database of DATABASES)
          await query(`drop database if exists ${databaseName(database)} with (force)`)
      })
    },
  }
}

async function onServer(url: string, work: (query: (text: string) => Promise<unknown>) => Promise<void>) {
  const pool = await openPgPool(url, 1)
  try {
    await work((text) => pool.query(text))
  } finally {
    await pool.end()
  }
}

async function fill(address: DatabaseAddress, service: ServiceName, workload: Workload): Promise<void> {
  const statements = [...createTables(service, address.kind), ...openingRows(service, workload)]
  if (address.kind === 'postgres') {
    await onServer(address.url, async (query) => void (await query(statements.join(';\n'))))
    return
  }
  const db = (await loadSqlite())(address.path)
  db.exec('pragma journal_mode = wal')
  db.exec(`begin; ${statements.join(';\n')}; commit`)
  db.close()
}

/** The values come from the workload, whose words need no quoting. */
function openingRows(service: ServiceName, workload: Workload): string[] {
  switch (service) {
    case 'order':
      return []
    case 'payment':
      return workload.accounts.map(
        ({ id, openingCents }) => `insert into account values ('${id}', ${openingCents}, ${openingCents})`,
      )
    case 'restaurant':
      return workload.dishes.flatMap(({ id, portions, priceCents }) => [
        `insert into dish values ('${id}', ${portions}, ${portions})`,
        `insert into menu values ('${id}', ${priceCents}, null, 1)`,
        `insert into menu_log (dish, kind, price_cents) values ('${id}', 'price', ${priceCents})`,
      ])
    case 'delivery':
      return workload.couriers.map((id) => `insert into courier values ('${id}', 0, 0)`)
  }
}

function each(address: (database: ServiceName | 'queue') => DatabaseAddress): Storage['addresses'] {
  return Object.fromEntries(DATABASES.map((d) => [d, address(d)])) as Storage['addresses']
}
