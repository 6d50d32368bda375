/**
 * Compares metadata files with the types of the Metadata API, which Salesforce publishes as declarations made from
 * its WSDL: no unknown element, none missing, none twice that may come once, values of the right type and, where
 * the WSDL lists them, of the list. Elements of one name must stand together, which a deployment demands.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

import { XMLParser, XMLValidator } from 'fast-xml-parser';

const parser = new XMLParser({
  preserveOrder: true, ignoreAttributes: false, parseTagValue: false, trimValues: true, ignoreDeclaration: true,
});
const NAMESPACE = 'http://soap.sforce.com/2006/04/metadata';
// Named by the file, or by the platform, where the WSDL demands them.
const NOT_NEEDED = new Set(['fullName']);

/** Type → its members, or the values it may have. */
export async function readSchema() {
  const module = createRequire(import.meta.url).resolve('@salesforce/types/metadata');
  const text = await readFile(module.replace(/\.js$/, '.d.ts'), 'utf8');
  const types = new Map();
  for (const [, name, body] of text.matchAll(/^export type (\w+) = ([^]*?);$(?=\n(?:export|$))/gm)) {
    types.set(name, body);
  }
  const members = new Map();
  const read = (name) => {
    if (members.has(name)) return members.get(name);
    const body = types.get(name);
    if (body === undefined) return undefined;
    const quoted = [...body.matchAll(/'([^']*)'/g)].map((match) => match[1]);
    if (quoted.length && !body.includes('{')) {
      members.set(name, { values: new Set(quoted) });
    } else if (!body.includes('{') && !/^\w+( & \w+)*$/.test(body)) {
      members.set(name, { values: null });
    } else {
      const found = new Map();
      const bases = body.split('{')[0].match(/\w+/g) ?? [];
      for (const base of bases) for (const [key, value] of read(base)?.members ?? []) found.set(key, value);
      for (const [, key, optional, type, many] of body.matchAll(/^ {4}(\w+)(\??): (\w+)((?:\[\])?);$/gm)) {
        found.set(key, { optional: Boolean(optional) || Boolean(many), type, many: Boolean(many) });
      }
      members.set(name, bases.includes('string') ? { values: null } : { members: found });
    }
    return members.get(name);
  };
  return read;
}

export function metadataProblems(text, schema) {
  const valid = XMLValidator.validate(text);
  if (valid !== true) return [`line ${valid.err.line}: ${valid.err.msg}`];
  const roots = parser.parse(text);
  if (roots.length !== 1) return ['not one root element'];
  const [root] = roots;
  const type = nameOf(root);
  const problems = [];
  if (root[':@']?.['@_xmlns'] !== NAMESPACE) problems.push('not in the namespace of the Metadata API');
  if (schema(type)?.members === undefined) return [...problems, `${type} is no metadata type`];
  compare(root[type], type, type, schema, problems);
  return problems;
}

const nameOf = (node) => Object.keys(node).find((key) => key !== ':@');

function compare(children, type, place, schema, problems) {
  const { members } = schema(type);
  const closed = new Set();
  const seen = new Set();
  let before;
  for (const node of children) {
    const name = nameOf(node);
    if (name === '#text') {
      problems.push(`${place}: text between elements`);
      continue;
    }
    if (name !== before && before !== undefined) closed.add(before);
    if (closed.has(name)) problems.push(`${place}: ${name} stands apart from the others of its name`);
    before = name;
    const member = members.get(name);
    if (member === undefined) {
      problems.push(`${place}: ${name} is no element of ${type}`);
      continue;
    }
    if (seen.has(name) && !member.many) problems.push(`${place}: ${name} comes twice`);
    seen.add(name);
    check(node[name], member.type, `${place}.${name}`, schema, problems);
  }
  for (const [name, member] of members) {
    if (!member.optional && !seen.has(name) && !NOT_NEEDED.has(name)) problems.push(`${place}: ${name} is missing`);
  }
}

function check(children, type, place, schema, problems) {
  const text = children.map((node) => node['#text'] ?? '').join('');
  const known = schema(type);
  if (known?.members) {
    compare(children, type, place, schema, problems);
  } else if (children.some((node) => nameOf(node) !== '#text')) {
    problems.push(`${place}: holds elements, not ${type}`);
  } else if (type === 'boolean' && !/^(true|false)$/.test(text)) {
    problems.push(`${place}: ${text} is neither true nor false`);
  } else if (type === 'number' && !/^-?\d+(\.\d+)?$/.test(text)) {
    problems.push(`${place}: ${text} is no number`);
  } else if (known?.values && !known.values.has(text)) {
    problems.push(`${place}: ${text} is none of ${type}`);
  } else if (known === undefined && !['string', 'boolean', 'number'].includes(type)) {
    problems.push(`${place}: the type ${type} is not known`);
  }
}
