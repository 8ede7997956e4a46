import { checkOptions, isName, optionsOf } from '../core/options.ts'
import { IdInUseError, IdStateError } from './errors.ts'
import { isSequence } from './layout.ts'
import { answered, checkFits, type SequenceSource } from './source.ts'

/** The part of an `etcd3` client that this counter calls. */
export interface EtcdCounterClient {
  get(key: string): { string(): Promise<string | null> }
  put(key: string): { value(value: string): unknown }
  if(
    key: string,
    column: 'Value' | 'Create',
    comparison: '==',
    value: string | number,
    // biome-ignore lint/suspicious/noExplicitAny: etcd3's own types of operations
  ): { then(...operations: any[]): { commit(): Promise<{ succeeded: boolean }> } }
}

export interface EtcdCounterOptions {
  /** The key is `KEY/INSTANCE`. Default `holdfast/ids`. */
  readonly key?: string
  /** Reserve nothing below this. */
  readonly notBelow?: bigint
}

const TRIES_MAX = 100

/**
 * A counter per instance in etcd, moved on by compare-and-put: durable on a majority of the nodes before it answers.
 * A put whose answer was lost may have been applied; its block is then left unused.
 * @throws ConfigError
 */
export function etcdCounter(client: EtcdCounterClient, options: EtcdCounterOptions = {}): SequenceSource {
  const { key = 'holdfast/ids', notBelow = 0n } = optionsOf('etcdCounter', options)
  checkOptions(
    'etcdCounter',
    options,
    ['key', 'notBelow'],
    [
      (typeof client?.get === 'function' && typeof client.if === 'function') ||
        'client must be an etcd3 client',
      isName('key', key),
      isSequence('notBelow', notBelow),
    ],
  )
  return {
    shared: true,
    open: async (instance) => ({
      reserve: (count) => answered('etcd', () => reserve(client, `${key}/${instance}`, count, notBelow)),
      close: async () => {},
    }),
  }
}

async function reserve(
  client: EtcdCounterClient,
  key: string,
  count: number,
  notBelow: bigint,
): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const seen = await client.get(key).string()
    if (seen !== null && !/^[0-9]{1,15}$/.test(seen))
      throw new IdStateError(key, 'does not hold a number', { kind: 'key' })
    const stored = BigInt(seen ?? 0)
    const first = stored < notBelow ? notBelow : stored
    checkFits(first, count)
    const unchanged = seen === null ? client.if(key, 'Create', '==', 0) : client.if(key, 'Value', '==', seen)
    const put = client.put(key).value((first + BigInt(count)).toString())
    if ((await unchanged.then(put).commit()).succeeded) return Number(first)
  }
  throw new IdInUseError(
    `etcd key ${key} was changed by others ${TRIES_MAX} times in a row; reserve larger blocks`,
  )
}
