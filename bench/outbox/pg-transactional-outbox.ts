import { randomUUID } from 'node:crypto'
import {
  DatabaseSetup,
  getDisabledLogger,
  initializeMessageStorage,
  initializePollingMessageListener,
  type PollingListenerConfig,
} from 'pg-transactional-outbox'
import { openPool } from '../lib/server.ts'
import { type BenchPayload, inTransaction, type OutboxSystem } from './system.ts'

const SETUP = {
  outboxOrInbox: 'outbox',
  schema: 'public',
  table: 'outbox',
  listenerRole: 'postgres',
  nextMessagesSchema: 'public',
  nextMessagesName: 'next_outbox_messages',
} as const

export const pgTransactionalOutbox: OutboxSystem = {
  name: 'pg-transactional-outbox',
  ordered: false,
  async open(url) {
    const pool = openPool(url, 20)
    const logger = getDisabledLogger()
    const config: PollingListenerConfig = {
      outboxOrInbox: 'outbox',
      dbListenerConfig: { connectionString: url },
      settings: {
        dbSchema: 'public',
        dbTable: 'outbox',
        enableMaxAttemptsProtection: false,
        enablePoisonousMessageProtection: false,
        nextMessagesBatchSize: 500,
        nextMessagesFunctionName: 'next_outbox_messages',
        nextMessagesPollingIntervalInMs: 25,
      },
    }
    const store = initializeMessageStorage(config, logger)
    return {
      async setup() {
        const setup = { ...SETUP, database: new URL(url).pathname.slice(1) }
        await pool.query(DatabaseSetup.dropAndCreateTable(setup))
        await pool.query(DatabaseSetup.createPollingFunction(setup))
        await pool.query(DatabaseSetup.setupPollingIndexes(setup))
      },
      publish: (messages) =>
        inTransaction(
          () => pool.connect(),
          async (client) => {
            for (const { key, payload } of messages) {
              await store(
                {
                  id: randomUUID(),
                  aggregateType: 'bench',
                  aggregateId: key,
                  messageType: 'bench',
                  concurrency: 'parallel',
                  payload,
                },
                client,
              )
            }
          },
        ),
      async consume(handler) {
        const [shutdown] = initializePollingMessageListener(
          config,
          { handle: async (message) => handler(message.payload as BenchPayload) },
          logger,
        )
        return { stop: shutdown }
      },
      close: () => pool.end(),
    }
  },
}
