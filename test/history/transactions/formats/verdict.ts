import {
  type CheckTransactionsInput,
  checkTransactions,
  type TransactionHistory,
} from '../../../../src/history/transactions/index.ts'

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
export const verdict = (h: TransactionHistory, options: Partial<CheckTransactionsInput> = {}): string =>
  checkTransactions(h, { model: 'rw-register', level: 'serializable', ...options }).verdict
