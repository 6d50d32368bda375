/** Syntax errors of an Apex class or trigger. What only a compiler sees, such as types, an org has to say. */
import { ApexErrorListener, ApexParserFactory } from '@apexdevtools/apex-parser';

class Problems extends ApexErrorListener {
  found = [];

  apexSyntaxError(line, column, message) {
    this.found.push(`${line}:${column} ${message}`);
  }
}

export function apexProblems(text, file) {
  const listener = new Problems();
  const { parser } = ApexParserFactory.createLexerAndParser(text, listener);
  if (file.endsWith('.trigger')) {
    parser.triggerUnit();
  } else {
    parser.compilationUnit();
  }
  return listener.found;
}
