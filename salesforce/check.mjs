/**
 * Checks the package without an org, by Salesforce's own tooling: the source resolver and converter that `sf`
 * deploys with, the types generated from the Metadata API's WSDL, and a grammar of Apex. Prints one JSON document:
 *
 *   components   what the source holds, as "Type:Name"
 *   manifest     what manifest/package.xml names
 *   returned     what comes back when the source is converted to the format that is deployed, and that to source
 *   deployed     the files of that format that hold addresses and users, with the replacements made
 *   problems     everything that is wrong, a line each; exit status 1 if there is any
 *
 * With --manifest it writes manifest/package.xml instead.
 */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { apexProblems } from './checks/apex.mjs';
import { metadataProblems, readSchema } from './checks/metadata.mjs';

// Nothing here may ask the network or write to the user's own folders.
process.env.SF_DISABLE_TELEMETRY = 'true';
process.env.SF_DISABLE_LOG_FILE = 'true';
process.env.SF_APPLY_REPLACEMENTS_ON_CONVERT = 'true';
const { ComponentSet, MetadataConverter } = createRequire(import.meta.url)('@salesforce/source-deploy-retrieve');

const here = import.meta.dirname;
const source = path.join(here, 'force-app');
const names = (set) =>
  set.getSourceComponents().toArray().flatMap((each) => [each, ...each.getChildren()])
    .map((each) => `${each.type.name}:${each.fullName}`).sort();

async function files(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((each) => each.isFile()).map((each) => path.join(each.parentPath, each.name)).sort();
}

async function convert(components, format, folder) {
  components.projectDirectory = here; // where sfdx-project.json says what to replace
  await new MetadataConverter().convert(components, format, {
    type: 'directory', outputDirectory: folder, packageName: format, genUniqueDir: false,
  });
  return path.join(folder, format);
}

async function thereAndBack(components, folder) {
  const deployable = await convert(components, 'metadata', folder);
  const deployed = {};
  for (const file of await files(deployable)) {
    const text = await readFile(file, 'utf8');
    if (/<(endpointUrl|integrationUser|user|parameterValue)>/.test(text)) {
      deployed[path.relative(deployable, file)] = text;
    }
  }
  const back = await convert(ComponentSet.fromSource(deployable), 'source', folder);
  return { returned: names(ComponentSet.fromSource(back)), deployed };
}

const problems = [];
const components = ComponentSet.fromSource(source);
components.sourceApiVersion = '62.0';
if (process.argv.includes('--manifest')) {
  await writeFile(path.join(here, 'manifest', 'package.xml'), await components.getPackageXml(4));
  process.exit();
}
const manifest = await ComponentSet.fromManifest({
  manifestPath: path.join(here, 'manifest', 'package.xml'),
});
const schema = await readSchema();
for (const file of await files(source)) {
  const name = path.relative(here, file);
  const text = await readFile(file, 'utf8');
  const found = file.endsWith('.xml') ? metadataProblems(text, schema) : apexProblems(text, file);
  problems.push(...found.map((problem) => `${name}: ${problem}`));
}
const folder = await mkdtemp(path.join(tmpdir(), 'package-'));
try {
  const result = {
    components: names(components),
    manifest: [...manifest].map((each) => `${each.type.name ?? each.type}:${each.fullName}`).sort(),
    ...(await thereAndBack(components, folder)),
    problems,
  };
  process.stdout.write(JSON.stringify(result));
} finally {
  await rm(folder, { recursive: true });
}
process.exitCode = problems.length ? 1 : 0;
