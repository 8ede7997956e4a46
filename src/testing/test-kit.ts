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
