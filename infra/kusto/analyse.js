// Reads {"name": "query", ...} from standard input and prints, for each name, what Microsoft's own parser says of the
// query against the tables of the workspace, the columns of its result, and every comparison with a constant:
// {"name": {"problems": [...], "columns": [...], "members": [...], "compared": [["column", "text"], ...]}}
// `members` are the paths read from a dynamic column, such as "Properties.flow".
require('@kusto/language-service-next/bridge.min.js');
require('@kusto/language-service-next/Kusto.Language.Bridge.min.js');
const fs = require('fs');
const path = require('path');

const { GlobalState, KustoCode, Symbols, Syntax } = Kusto.Language;

const schemas = JSON.parse(fs.readFileSync(path.join(__dirname, 'tables.json'), 'utf8'));
const tables = Object.entries(schemas).map(([name, columns]) => Symbols.TableSymbol.From(columns).WithName(name));
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.$ctor1('workspace', tables));

const listed = (list) => Array.from({ length: list.Count }, (_, index) => list.getItem(index));
const kind = (node) => node.Kind;
const { SyntaxKind } = Syntax;
const comparisons = new Set([
  SyntaxKind.EqualExpression, SyntaxKind.NotEqualExpression, SyntaxKind.HasExpression, SyntaxKind.StartsWithExpression,
  SyntaxKind.MatchesRegexExpression,
]);
const memberships = new Set([SyntaxKind.InExpression, SyntaxKind.NotInExpression]);

function children(node) {
  const found = [];
  for (let index = 0; index < node.ChildCount; index += 1) {
    const child = node.GetChild(index);
    if (child) found.push(child);
  }
  return found;
}

function texts(node) {
  if (kind(node) === SyntaxKind.StringLiteralExpression) return [node.LiteralValue];
  return children(node).flatMap(texts);
}

function visit(node, result) {
  if (comparisons.has(kind(node)) || memberships.has(kind(node))) {
    const left = node.Left.toString(0).trim();
    for (const text of texts(node.Right)) result.compared.push([left, text]);
  }
  if (kind(node) === SyntaxKind.PathExpression) result.members.push(node.toString(0).trim());
  children(node).forEach((child) => visit(child, result));
}

function analyse(query) {
  const code = KustoCode.ParseAndAnalyze(query, globals);
  const result = { problems: [], columns: [], members: [], compared: [] };
  for (const each of listed(code.GetDiagnostics())) result.problems.push(`${each.Severity} at ${each.Start}: ${each.Message}`);
  if (code.ResultType && code.ResultType.Columns) {
    for (const column of listed(code.ResultType.Columns)) result.columns.push(column.Name);
  }
  visit(code.Syntax, result);
  return result;
}

const queries = JSON.parse(fs.readFileSync(0, 'utf8'));
const answers = Object.fromEntries(Object.entries(queries).map(([name, query]) => [name, analyse(query)]));
process.stdout.write(JSON.stringify(answers));
