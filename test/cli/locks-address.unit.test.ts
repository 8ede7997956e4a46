import { describe, expect, it } from 'vitest'
import { locksAddress } from '../../src/cli/locks/locks-address.ts'

function read(values: Record<string, string>, env: Record<string, string> = {}) {
  return locksAddress({ values, positionals: [], io: { out() {}, err() {}, colour: false, env } })
}

describe('where the locks are', () => {
  it.each([
    [
      'redis://127.0.0.1:6379/2',
      { kind: 'redis', url: 'redis://127.0.0.1:6379/2', label: 'Redis at 127.0.0.1:6379' },
    ],
    ['rediss://:pw@a', { kind: 'redis', url: 'rediss://:pw@a', label: 'Redis at a' }],
    ['etcd://a', { kind: 'etcd', hosts: ['a:2379'], login: undefined, path: '', label: 'etcd at a:2379' }],
    [
      'ETCD://a:1,b:2/',
      { kind: 'etcd', hosts: ['a:1', 'b:2'], login: undefined, path: '', label: 'etcd at a:1,b:2' },
    ],
    [
      'etcd://root:p%40:s@[::1]:2379',
      {
        kind: 'etcd',
        hosts: ['[::1]:2379'],
        login: { username: 'root', password: 'p@:s' },
        path: '',
        label: 'etcd at [::1]:2379',
      },
    ],
    [
      'zookeeper://a,b:2182/app/',
      {
        kind: 'zookeeper',
        hosts: ['a:2181', 'b:2182'],
        login: undefined,
        path: '/app',
        label: 'ZooKeeper at a:2181,b:2182',
      },
    ],
  ])('%s', (locks, address) => {
    expect(read({ locks })).toEqual(address)
    expect(read({}, { HOLDFAST_LOCKS: locks })).toEqual(address)
  })

  it('a store that is named comes before the environment, which comes before the default store', () => {
    expect(read({ store: 'sqlite:x' }, { HOLDFAST_LOCKS: 'redis://a' })).toEqual({ kind: 'store' })
    expect(read({}, { HOLDFAST_STORE: 'sqlite:x' })).toEqual({ kind: 'store' })
    expect(read({}, { HOLDFAST_STORE: 'sqlite:x', HOLDFAST_LOCKS: 'etcd://a' })).toMatchObject({
      kind: 'etcd',
    })
  })

  it.each([
    [{ locks: 'redis://a', store: 'sqlite:x' }, 'two places'],
    [{ locks: 'redis://a', schema: 's' }, '--schema is for a store'],
    [{ locks: 'postgres://a/b' }, 'are named by --store'],
    [{ store: 'redis://a' }, 'are named by --locks'],
    [{ locks: 'nats://a' }, 'got "nats:"'],
    [{ locks: 'localhost:6379' }, 'got no such beginning'],
    [{ locks: 'redis://me:secret@ /' }, 'write redis://HOST:PORT'],
    [{ locks: 'etcd://' }, 'write etcd://HOST:PORT,HOST:PORT'],
    [{ locks: 'etcd://a:99999' }, 'write etcd://HOST:PORT'],
    [{ locks: 'zookeeper://a:2181,' }, 'write zookeeper://HOST:PORT'],
    [{ locks: 'etcd://me:secret%@a' }, 'special characters with %'],
  ])('%j is refused in one sentence', (values, text) => {
    expect(() => read(values)).toThrow(text)
    expect(() => read(values)).not.toThrow('secret')
  })
})
