import { expect, it } from 'vitest'
import { messageOf, tame } from '../../src/core/thrown.ts'

const no = (): never => {
  throw new Error('do not look')
}
const trap = { get: no, getPrototypeOf: no, ownKeys: no, getOwnPropertyDescriptor: no, has: no }
const hidden = (name: string) => Object.defineProperty(new Error('a'), name, { get: no })

it.each<[string, unknown]>([
  ['a Proxy', new Proxy({}, trap)],
  ['a Proxy of an error', new Proxy(new Error('a'), trap)],
  ['an error with a getter', hidden('message')],
  ['one whose code has a getter', hidden('code')],
  ['one whose name is no text', Object.assign(new Error('a'), { name: Symbol('a') })],
  ['one with such a cause', new Error('a', { cause: new Error('b', { cause: hidden('message') }) })],
  ['one of a library', Object.assign(new Error('a'), { driverError: new Proxy({}, trap) })],
  ['an object that has no text', { toString: no }],
  ['one without a prototype', Object.create(null)],
  ['a function that has none', Object.assign(() => {}, { toString: no })],
])('%s is an error in its place', (_, thrown) => {
  expect(tame(thrown)).toBeInstanceOf(Error)
  expect(tame(thrown) === thrown).toBe(false) // a matcher would look at it
  expect(messageOf(thrown)).toMatch(/^what was thrown cannot be looked at/)
})

it('everything else stays what it is', () => {
  const circular = new Error('a')
  circular.cause = circular
  for (const thrown of [circular, undefined, null, 1n, Symbol('s'), 'text', { code: 'A' }, () => 1])
    expect(tame(thrown)).toBe(thrown)
  expect(messageOf(circular)).toBe('a')
  expect(messageOf('text')).toBe('text')
  expect(messageOf(undefined)).toBe('undefined')
})
