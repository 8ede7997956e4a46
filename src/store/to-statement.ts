import { PayloadError } from '../core/errors.ts'
import { checkArguments, isList } from '../core/options.ts'
import type { DialectName } from './dialect.ts'
import type { Statement } from './engine.ts'
import { compileSql, type Sql, type SqlValue } from './sql.ts'
import type { Store } from './store.ts'
import { refuseTransactionControl } from './transaction-control.ts'

/** A statement as an engine takes it. @throws PayloadError for a parameter that is undefined; UnsupportedError for COMMIT and its kin */
export function toStatement(
  store: Store,
  statement: Sql | string,
  values: readonly SqlValue[] | undefined,
): Statement {
  if (typeof statement === 'string') {
    if (values !== undefined) checkArguments('the statement', isList('values', values))
    return checked({ text: statement, values: values ?? [], prepare: false }, store.dialect.name)
  }
  return checked({ ...compileSql(statement, store.dialect), prepare: true }, store.dialect.name)
}

/** A missing field would travel as null (pg, libsql), which `= null` then never equals, or which overwrites a column. */
function checked(statement: Statement, dialect: DialectName): Statement {
  refuseTransactionControl(statement.text, dialect)
  const missing = statement.values.indexOf(undefined as never)
  if (missing < 0) return statement
  throw new PayloadError('parameters of a statement', [
    { path: `$[${missing}]`, message: 'undefined is no value; write null' },
  ])
}
