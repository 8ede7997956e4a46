import { storeTables, type TableSet } from '../store/index.ts'

/** The tables of every part that stores something, in the order in which they are made. */
export const allTables: readonly TableSet[] = [storeTables]
