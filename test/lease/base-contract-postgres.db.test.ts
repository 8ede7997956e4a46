import { postgres } from 'holdfast/postgres'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describeBaseContract } from '../../src/testing/base-contract.ts'
import { freshPool } from '../support/postgres.ts'

const kit = { describe, it, expect, beforeEach, afterEach }

describeBaseContract(kit, 'postgres', async () => {
  const database = await freshPool()
  const second = new pg.Pool({ connectionString: database.url })
  return {
    store: postgres(database.pool),
    other: postgres(second),
    withClock: (clock) => postgres(second, { clock }),
    close: async () => {
      await second.end()
      await database.drop()
    },
  }
})
