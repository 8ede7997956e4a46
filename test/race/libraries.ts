import knexOf, { type Knex } from 'knex'
import type pg from 'pg'
import { DataSource } from 'typeorm'
import { afterAll, beforeAll } from 'vitest'
import { type FreshPool, freshPool } from '../support/postgres.ts'

/** A database with these tables for all tests of a file, and the libraries that open connections of their own to it. */
export function useLibraries(tables: string): {
  readonly pool: pg.Pool
  readonly knex: Knex
  readonly typeorm: DataSource
} {
  let db: FreshPool
  let knex: Knex
  let typeorm: DataSource
  beforeAll(async () => {
    db = await freshPool()
    await db.pool.query(tables)
    knex = knexOf({ client: 'pg', connection: db.url })
    typeorm = await new DataSource({ type: 'postgres', url: db.url }).initialize()
  })
  afterAll(async () => {
    await knex.destroy()
    await typeorm.destroy()
    await db.drop()
  })
  return {
    get pool() {
      return db.pool
    },
    get knex() {
      return knex
    },
    get typeorm() {
      return typeorm
    },
  }
}
