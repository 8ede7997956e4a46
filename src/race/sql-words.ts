/** Words of SQL by what they say of a statement. Whatever is in none of the lists is not understood. */

/** Functions that depend on their arguments alone, or on the rows that they are given. */
export const PURE_FUNCTIONS: readonly string[] =
  `abs array_agg avg bool_and bool_or btrim ceil ceiling coalesce concat concat_ws count div every floor gen_random_uuid greatest
   json_agg json_build_array json_build_object jsonb_agg jsonb_build_array jsonb_build_object jsonb_set least left length lower
   lpad ltrim max md5 min mod nullif rank replace right round row_number row_to_json rpad rtrim sign split_part sqrt string_agg
   strpos substr sum to_json to_jsonb trim trunc unnest upper`.split(/\s+/)

/** Words that stand before a parenthesis and are no function. */
export const BEFORE_PARENTHESIS: ReadonlySet<string> = new Set(
  `all and any array as between bit by case char character conflict decimal distinct else except exists filter float from having
   ilike in intersect is like limit not numeric offset on or over returning row rows select set some then union update using
   values varchar when where within`.split(/\s+/),
)

/** Their answers tell in which order transactions began, or rows were written. */
export const ORDER_WORDS: ReadonlySet<string> = new Set(
  `clock_timestamp cmax cmin ctid current_date current_time current_timestamp localtime localtimestamp now
   statement_timestamp timeofday transaction_timestamp txid_current xmax xmin`.split(/\s+/),
)

/** Texts that PostgreSQL reads as moments, as alternatives of a pattern. */
export const CLOCK_TEXTS = 'now|today|tomorrow|yesterday'

/** What a SELECT does not say that only reads. */
export const WRITING_WORDS: ReadonlySet<string> = new Set(['delete', 'insert', 'merge', 'share', 'update'])
