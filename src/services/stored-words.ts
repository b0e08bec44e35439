/** The words of one column that stands for an enum: the GraphQL name is the key, the stored word the value. */
export type Words<Word extends string> = Readonly<Record<string, Word>>;

/** The word a column holds, or `otherwise` for one that nobody knows: rows of the predecessor hold what its clients sent, unchecked. */
export function wordOf<Word extends string>(words: Words<Word>, stored: string | null, otherwise: Word): Word {
  return Object.values(words).find((word) => word === stored) ?? otherwise;
}

/** The filter for rows that read as one of `wanted`, unknown words included where they read as a wanted one. Nothing wanted finds nothing. */
export function wordsFilter<Word extends string>(
  words: Words<Word>,
  wanted: readonly Word[],
  otherwise: Word,
): { in: Word[] } | { notIn: Word[] } {
  if (!wanted.includes(otherwise)) return { in: [...wanted] };
  return { notIn: Object.values(words).filter((word) => !wanted.includes(word)) };
}
