import { checkOptions, isName, optionsOf } from '../core/options.ts'
import { IdStateError } from './errors.ts'
import { isSequence } from './layout.ts'
import { answered, checkFits, type SequenceSource } from './source.ts'

/** The part of an ioredis client that this counter calls. */
export interface RedisCounterClient {
  eval(script: string, keys: number, ...args: (string | number)[]): Promise<unknown>
}

export interface RedisCounterOptions {
  /** The key is `KEY:{INSTANCE}`. Default `holdfast:ids`. */
  readonly key?: string
  /** Reserve nothing below this. */
  readonly notBelow?: bigint
}

/**
 * Raises and adds in one step. The numbers stay below 2^48, which a Lua number holds whole. What is no such number is left
 * as it is: taken for one, '-5' would begin at 0 again. Nor is anything reserved that does not fit.
 */
const RESERVE = `
local stored = redis.call('get', KEYS[1]) or '0'
if not string.find(stored, '^%d+$') or #stored > 15 then return redis.error_reply('ID_STATE is no number') end
local next = tonumber(stored)
if next < tonumber(ARGV[2]) then next = tonumber(ARGV[2]) end
if next + tonumber(ARGV[1]) > 2 ^ 48 then return string.format('%.0f', next) end
redis.call('set', KEYS[1], string.format('%.0f', next + tonumber(ARGV[1])))
return string.format('%.0f', next)`

/**
 * A counter per instance in Redis.
 *
 * Never repeats as far as Redis never forgets: that asks for `appendonly yes` with `appendfsync always`, a
 * `maxmemory-policy` that evicts nothing, and no failover to a replica that was behind. Otherwise take the store, etcd,
 * or a file.
 * @throws ConfigError
 */
export function redisCounter(client: RedisCounterClient, options: RedisCounterOptions = {}): SequenceSource {
  const { key = 'holdfast:ids', notBelow = 0n } = optionsOf('redisCounter', options)
  checkOptions(
    'redisCounter',
    options,
    ['key', 'notBelow'],
    [
      typeof client?.eval === 'function' || 'client must be an ioredis client',
      isName('key', key),
      isSequence('notBelow', notBelow),
    ],
  )
  return {
    shared: true,
    open: async (instance) => ({
      async reserve(count) {
        const at = `${key}:{${instance}}`
        const answer = await answered('Redis', () =>
          client.eval(RESERVE, 1, at, count, notBelow.toString()).catch((error: unknown) => {
            if (!/^(?:ID_STATE|WRONGTYPE)/.test((error as Error).message)) throw error
            throw new IdStateError(at, 'does not hold a number', { kind: 'key', cause: error })
          }),
        )
        const first = Number(answer)
        checkFits(first, count)
        return first
      },
      close: async () => {},
    }),
  }
}
