import {
  checkArguments,
  checkOptions,
  hasMethods,
  isList,
  isName,
  isObject,
  isText,
  optionsOf,
} from '../../core/options.ts'
import { toPresent } from '../../fence/fence.ts'
import { type FencedLock, StaleFenceError } from '../../fence/index.ts'
import type { RedisLike } from './redis-client.ts'
import { Script } from './script.ts'

export interface RedisGuard {
  /** Presents the token and writes the value, in one step. @throws StaleFenceError */
  set(lock: FencedLock, key: string, value: string): Promise<void>
  /**
   * Presents the token and then runs `script`, in one step: nothing of it runs for a stale holder. The script sees `KEYS`
   * and `ARGV` as `keys` and `args`. @throws StaleFenceError
   */
  eval(
    lock: FencedLock,
    given: {
      readonly script: string
      readonly keys: readonly string[]
      readonly args?: readonly (string | number)[]
    },
  ): Promise<unknown>
}

/** Tokens are compared as decimal text, since Lua's numbers end at 2^53. */
const CHECK = `
local accepted = redis.call('HMGET', KEYS[1], 'token', 'holder')
local function higher(a, b) if #a ~= #b then return #a > #b end return a > b end
if accepted[1] and (higher(accepted[1], ARGV[1]) or (accepted[1] == ARGV[1] and accepted[2] ~= ARGV[2])) then
  return redis.error_reply('STALE_FENCE ' .. accepted[1])
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'holder', ARGV[2])
local KEYS, ARGV = {unpack(KEYS, 2)}, {unpack(ARGV, 3)}
`

/**
 * The guard for writes to Redis: what `fence` is for a store. The accepted token stands in the hash `holdfast:fence:NAME`,
 * in the same instance as what it protects, and is lost with it.
 */
export function redisGuard(client: RedisLike, options: { readonly prefix?: string } = {}): RedisGuard {
  checkArguments(
    'redisGuard',
    hasMethods('client', client, 'an ioredis client', 'eval', 'evalsha'),
    isObject('options', options),
  )
  const { prefix = 'holdfast:' } = options
  checkOptions('redisGuard', options, ['prefix'], [isName('prefix', prefix)])
  const scripts = new Map<string, Script>()
  const guard: RedisGuard = {
    async set(lock, key, value) {
      checkArguments('redisGuard.set', isText('key', key), isText('value', value))
      await guard.eval(lock, {
        script: "return redis.call('SET', KEYS[1], ARGV[1])",
        keys: [key],
        args: [value],
      })
    },
    async eval(lock, call) {
      const { script, keys, args = [] } = optionsOf('redisGuard.eval', call)
      checkOptions(
        'redisGuard.eval',
        call,
        ['script', 'keys', 'args'],
        [isText('script', script), isList('keys', keys), isList('args', args)],
      )
      const { resource, token, holder } = toPresent('redisGuard', lock)
      const id = `${keys.length} ${script}`
      const whole = scripts.get(id) ?? new Script(CHECK + script, keys.length + 1)
      scripts.set(id, whole)
      const fenceKey = `${prefix}fence:${resource}`
      try {
        return await whole.run(client, [fenceKey, ...keys, `${token}`, holder, ...args])
      } catch (error) {
        const current = /^STALE_FENCE (\d+)/.exec((error as Error).message)?.[1]
        if (current === undefined) throw error
        throw new StaleFenceError({ resource, presented: token, current: BigInt(current) })
      }
    },
  }
  return guard
}
