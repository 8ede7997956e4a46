import { expect, it } from 'vitest'
import { MESSAGES, readOptions as read } from '../../examples/food-delivery/options.ts'

const readOptions = (argv: readonly string[]) => read(argv, MESSAGES)

it('has defaults that need no argument', () => {
  expect(readOptions([])).toMatchObject({
    orders: 1000,
    seed: 1,
    faults: 'default',
    only: undefined,
    without: undefined,
    ablation: false,
    json: false,
  })
})

it('runs the ablation shorter and with more faults', () => {
  expect(readOptions(['--ablation'])).toMatchObject({ orders: 300, faults: 'heavy' })
})

it.each([
  [['--orders', '0'], /--orders must be a whole number/],
  [['--orders', '1e3'], /--orders must be a whole number/],
  [['--seed', '-1'], /--seed needs a value, which does not begin with -/],
  [['--faults', 'some'], /--faults must be one of none, default, heavy/],
  [['--only', 'both'], /--only must be one of holdfast, naive/],
  [['--without', 'luck'], /--without must be one of transaction, outbox, inbox, undo, lock, version/],
  [['--without', 'inbox', '--only', 'naive'], /leave out --only naive/],
  [['--ablation', '--without', 'inbox'], /leave out --only and --without/],
  [['--ablation', '--html', 'x.html'], /leave out --ablation/],
  [['--colour'], /unknown option '--colour'/],
  [['extra'], /unexpected argument 'extra'/i],
])('refuses %j', (argv, message) => {
  expect(() => readOptions(argv)).toThrow(message)
})

it('does not repeat a store that may hold a password', () => {
  expect(() => readOptions(['--store', 'mysql://root:secret@db'])).toThrow(
    /^(?!.*secret)--store must be postgres/,
  )
})
