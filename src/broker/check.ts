import { type Check, checkOptions, isCount, isName, optionsOf, show } from '../core/options.ts'
import type { Message, SubscribeOptions } from './broker.ts'

/** @throws ConfigError */
export function checkSubscription(options: SubscribeOptions, partitions: number): void {
  const { topic, group, partition, prefetch, from } = optionsOf('subscribe', options)
  checkOptions(
    'subscribe',
    options,
    ['topic', 'group', 'partition', 'prefetch', 'from'],
    [
      isName('topic', topic),
      isName('group', group),
      isCount('partition', partition, 0, partitions - 1),
      isCount('prefetch', prefetch, 1, 65_535),
      from === undefined ||
        ['earliest', 'latest'].includes(from) ||
        `from must be earliest or latest, got ${show(from)}`,
    ],
  )
}

/** `true`, or what no broker could carry: a NUL, an unpaired surrogate, an empty name. */
export function checkMessage(message: Message): Check {
  const { id, topic, key, payload, headers } = message
  const checks = [
    isName('id', id, 1_000),
    isName('topic', topic),
    key === null || key === '' || isName('key', key, 1_000),
    isText('payload', payload),
    ...Object.entries(headers).flatMap(([name, value]) => [
      isName('a header name', name, 1_000),
      isText('a header value', value),
    ]),
  ]
  return checks.find((check) => check !== true) ?? true
}

function isText(name: string, value: unknown): Check {
  if (typeof value !== 'string') return `${name} must be a string`
  if (value.includes('\0')) return `${name} must not contain a NUL character`
  return value.isWellFormed() || `${name} must not contain an unpaired surrogate`
}
