import { usageError } from '../cli-error.ts'
import { type Given, type OptionSpec, textValue } from '../command.ts'
import { STORE_OPTIONS } from '../open-store.ts'

/** Options of the commands about locks. */
export const LOCKS_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  locks: {
    type: 'string',
    value: 'URL',
    summary:
      'locks outside of the store: redis://…, etcd://HOST:PORT,… or zookeeper://HOST:PORT,…; default: the environment variable HOLDFAST_LOCKS, else the store',
  },
  ...STORE_OPTIONS,
  prefix: {
    type: 'string',
    value: 'TEXT',
    summary:
      'what the names of the tables begin with (holdfast_), or the keys (Redis: holdfast:, etcd: holdfast/locks/), or the node above the locks (ZooKeeper: /holdfast/locks)',
  },
}

/** `kind` names the scheme; a store is told apart by its own option. */
export type LocksAddress =
  | { readonly kind: 'store' }
  | { readonly kind: 'redis'; readonly url: string; readonly label: string }
  | ({ readonly kind: 'etcd' | 'zookeeper' } & Ensemble)

/** Several servers of one service. */
export interface Ensemble {
  readonly hosts: readonly string[]
  readonly login: { readonly username: string; readonly password: string } | undefined
  /** What follows the hosts, without a slash at its end; empty when nothing does. */
  readonly path: string
  readonly label: string
}

const DEFAULT_PORTS = { etcd: 2379, zookeeper: 2181 } as const

/** @throws CliError, usage; the text never repeats a password */
export function locksAddress(given: Given): LocksAddress {
  const option = textValue(given, 'locks')
  const store = textValue(given, 'store')
  if (option !== undefined && store !== undefined) {
    throw usageError('--locks and --store name two places: give one of them')
  }
  if (/^(rediss?|etcd|zookeeper):/i.test(store ?? '')) {
    throw usageError('locks in Redis, etcd or ZooKeeper are named by --locks, not by --store')
  }
  const text = option ?? (store === undefined ? given.io.env.HOLDFAST_LOCKS : undefined)
  if (text === undefined || text === '') return { kind: 'store' }
  const named = option === undefined ? 'HOLDFAST_LOCKS' : '--locks'
  if (textValue(given, 'schema') !== undefined) throw usageError(`--schema is for a store, not for ${named}`)
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(text) ?? []
  switch (scheme.toLowerCase()) {
    case 'redis':
    case 'rediss':
      return redisAddress(text, named)
    case 'etcd':
      return { kind: 'etcd', ...ensemble('etcd', rest, named) }
    case 'zookeeper':
      return { kind: 'zookeeper', ...ensemble('zookeeper', rest, named) }
    case 'postgres':
    case 'postgresql':
      throw usageError(`locks in a store are named by --store, not by ${named}`)
    default:
      throw usageError(
        `${named} must begin with redis://, etcd:// or zookeeper://, got ${scheme === '' ? 'no such beginning' : `"${scheme}:"`}`,
      )
  }
}

function redisAddress(url: string, named: string): LocksAddress {
  if (!URL.canParse(url)) throw unreadable(named, 'redis://HOST:PORT')
  const { host } = new URL(url)
  return { kind: 'redis', url, label: `Redis at ${host || '127.0.0.1'}` }
}

function ensemble(kind: 'etcd' | 'zookeeper', rest: string, named: string): Ensemble {
  const form = `${kind}://HOST:PORT,HOST:PORT`
  const [, login, list = '', path = ''] = /^(?:([^@/]*)@)?([^/@]+)((?:\/[^?#]*)?)$/.exec(rest) ?? []
  const hosts = list.split(',').map((host) => withPort(host, DEFAULT_PORTS[kind]))
  if (hosts.some((host) => host === undefined)) throw unreadable(named, form)
  const name = kind === 'etcd' ? 'etcd' : 'ZooKeeper'
  return {
    hosts: hosts as string[],
    login: login === undefined ? undefined : loginOf(login, named, form),
    path: path.replace(/\/+$/, ''),
    label: `${name} at ${hosts.join(',')}`,
  }
}

/** `host`, `host:port`, `[v6]` or `[v6]:port`; undefined for anything else. */
function withPort(host: string, byDefault: number): string | undefined {
  const [, name, port] = /^([^\s:[\]]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$/i.exec(host) ?? []
  if (name === undefined || Number(port ?? 1) > 65_535) return undefined
  return `${name}:${port ?? byDefault}`
}

function loginOf(text: string, named: string, form: string): Ensemble['login'] {
  const [username = '', ...rest] = text.split(':')
  try {
    return { username: decodeURIComponent(username), password: decodeURIComponent(rest.join(':')) }
  } catch (cause) {
    throw usageError(
      `the user and password of ${named} cannot be read: write ${form.replace('//', '//USER:PASSWORD@')}, special characters with %`,
      { cause },
    )
  }
}

function unreadable(named: string, form: string): Error {
  return usageError(`the address of ${named} cannot be read: write ${form}`)
}
