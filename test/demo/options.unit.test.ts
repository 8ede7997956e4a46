import { readdirSync } from 'node:fs'
import { expect, it, onTestFinished } from 'vitest'
import { MESSAGES, readOptions as read } from '../../examples/food-delivery/options.ts'
import { refuseUnwritable } from '../../examples/food-delivery/outputs.ts'
import { tempFolder } from '../support/files.ts'

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
  [['--kill-at', 'outbox.relay.read,nosuch.place'], /"nosuch.place" is none/],
  [['--kill-at', ''], /"" is none/],
  [['--colour'], /unknown option '--colour'/],
  [['extra'], /unexpected argument 'extra'/i],
])('refuses %j', (argv, message) => {
  expect(() => readOptions(argv)).toThrow(message)
})

it('kills at the failpoints that are named', () => {
  expect(readOptions(['--kill-at', 'outbox.relay.read, store.commit.after']).killAt).toEqual([
    'outbox.relay.read',
    'store.commit.after',
  ])
})

it('refuses a folder that takes no files, and makes one that does', () => {
  const folder = tempFolder('keep')
  onTestFinished(folder.remove)
  const keep = (keepFolder: string) =>
    refuseUnwritable({ keepFolder, htmlFile: undefined, historyFile: undefined })
  // Linux: root may write everywhere but there.
  for (const path of ['/proc/nosuch', '/proc/nosuch/deeper', '/proc'])
    expect(() => keep(path)).toThrow(/^--keep: \/proc.* cannot be written/)
  keep(folder.file('a/b'))
  expect(readdirSync(folder.file('a/b'))).toEqual([])
})

it('does not repeat a store that may hold a password', () => {
  expect(() => readOptions(['--store', 'mysql://root:secret@db'])).toThrow(
    /^(?!.*secret)--store must be postgres/,
  )
})
