import { checkArguments, hasMethods, isFunction, isText } from '../core/options.ts'
/**
 * The functions of a test runner that the contract suites call. Vitest's and Jest's fit:
 * `describeStoreContract({ describe, it, expect, beforeEach, afterEach }, 'my store', open)`.
 */
export interface TestKit {
  describe(name: string, body: () => void): unknown
  it(name: string, body: () => Promise<void> | void): unknown
  // biome-ignore lint/suspicious/noExplicitAny: the matchers of each runner have types of their own
  expect: any
  beforeEach(hook: () => Promise<void> | void): unknown
  afterEach(hook: () => Promise<void> | void): unknown
}

/** What a suite is given first. @throws ConfigError */
export function checkSuite(
  subject: string,
  kit: unknown,
  name: unknown,
  setUp: unknown,
  ...parts: string[]
): void {
  checkArguments(
    subject,
    hasMethods('kit', kit, 'the functions of your test runner', 'describe', 'it', ...parts),
    isText('name', name),
    isFunction('the third argument', setUp),
  )
}
