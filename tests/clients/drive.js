// Drives a running server with fhir-kit-client, a client that others wrote, and prints what it did.
// BASE is the server's FHIR base, TOKEN one that may do everything. Ends with 1 at the first thing that is wrong.
import assert from 'node:assert/strict';
import { Client } from 'fhir-kit-client';

const { BASE, TOKEN } = process.env;
const client = new Client({ baseUrl: BASE, bearerToken: TOKEN });
// Own to this run, so that it may be repeated on the same store.
const run = `run-${Date.now()}`;
const tag = { system: 'urn:mjumbe:test', code: run };
const patient = (family) => ({ resourceType: 'Patient', meta: { tag: [tag] }, active: true, name: [{ family }] });

/** What a call is refused with. */
async function refused(call) {
  const error = await call.then(() => undefined, (error) => error);
  assert.ok(error, 'it was not refused');
  const { status, data } = error.response;
  return { status, code: data.issue?.[0]?.details?.coding?.[0]?.code };
}

const steps = {
  async 'reads the capability statement'() {
    const statement = await client.capabilityStatement();
    assert.equal(statement.resourceType, 'CapabilityStatement');
    assert.equal(statement.fhirVersion, '4.0.1');
  },

  async 'creates, reads, updates and deletes'() {
    const made = await client.create({ resourceType: 'Patient', body: patient('Uwase') });
    assert.equal(made.meta.versionId, '1');
    const { response } = Client.httpFor(made);
    assert.equal(response.status, 201);
    assert.ok(response.headers.get('location').endsWith(`/Patient/${made.id}/_history/1`));
    const read = await client.read({ resourceType: 'Patient', id: made.id });
    assert.deepEqual(read, made);
    const body = { ...read, gender: 'female' };
    const updated = await client.update({ resourceType: 'Patient', id: made.id, body });
    assert.equal(updated.meta.versionId, '2');
    const earlier = await client.vread({ resourceType: 'Patient', id: made.id, version: '1' });
    assert.equal(earlier.gender, undefined);
    await client.delete({ resourceType: 'Patient', id: made.id });
    assert.deepEqual(await refused(client.read({ resourceType: 'Patient', id: made.id })), { status: 410, code: 'deleted' });
  },

  async 'is refused with an OperationOutcome'() {
    const wrong = client.create({ resourceType: 'Patient', body: { resourceType: 'Patient', nmae: 'x' } });
    assert.deepEqual(await refused(wrong), { status: 400, code: 'unknown-element' });
    const stranger = new Client({ baseUrl: BASE, bearerToken: 'wrong' });
    assert.equal((await refused(stranger.search({ resourceType: 'Patient' }))).status, 401);
  },

  async 'updates under a condition'() {
    const identifier = [{ system: 'urn:mjumbe:test', value: run }];
    const searchParams = { identifier: `urn:mjumbe:test|${run}` };
    const body = { ...patient('Mugisha'), identifier };
    const made = await client.update({ resourceType: 'Patient', searchParams, body });
    const again = await client.update({ resourceType: 'Patient', searchParams, body: { ...body, gender: 'male' } });
    assert.equal(again.id, made.id);
    assert.equal(again.meta.versionId, '2');
  },

  async 'searches and follows pages, by GET and by POST'() {
    for (let n = 0; n < 7; n += 1) {
      await client.create({ resourceType: 'Patient', body: patient(`Page-${run}-${n}`) });
    }
    const searchParams = { family: `Page-${run}`, _tag: `${tag.system}|${run}`, _count: 3, _sort: 'family' };
    for (const options of [{}, { postSearch: true }]) {
      let page = await client.search({ resourceType: 'Patient', searchParams, options });
      assert.equal(page.total, 7);
      const families = [];
      while (page) {
        families.push(...page.entry.map(({ resource }) => resource.name[0].family));
        assert.ok(families.length <= 7, 'paging does not end');
        page = await client.nextPage({ bundle: page });
      }
      assert.deepEqual(families, [0, 1, 2, 3, 4, 5, 6].map((n) => `Page-${run}-${n}`));
    }
  },

  async 'patches'() {
    const made = await client.create({ resourceType: 'Patient', body: patient('Keza') });
    const jsonPatch = [{ op: 'replace', path: '/active', value: false }];
    const patched = await client.patch({ resourceType: 'Patient', id: made.id, jsonPatch });
    assert.equal(patched.active, false);
    assert.equal(patched.meta.versionId, '2');
    const failing = [{ op: 'test', path: '/active', value: true }];
    assert.equal((await refused(client.patch({ resourceType: 'Patient', id: made.id, jsonPatch: failing }))).status, 422);
  },

  async 'reads histories'() {
    const made = await client.create({ resourceType: 'Patient', body: patient('Gasana') });
    await client.update({ resourceType: 'Patient', id: made.id, body: { ...made, active: false } });
    const own = await client.history({ resourceType: 'Patient', id: made.id });
    assert.deepEqual(own.entry.map(({ resource }) => resource.meta.versionId), ['2', '1']);
    const ofType = await client.history({ resourceType: 'Patient' });
    assert.equal(ofType.type, 'history');
    assert.equal(ofType.entry[0].resource.id, made.id);
    const ofAll = await client.history({});
    assert.equal(ofAll.entry[0].resource.id, made.id);
  },

  async 'sends a transaction, whole or not at all'() {
    const entry = (fullUrl, resource) => ({ fullUrl, resource, request: { method: 'POST', url: resource.resourceType } });
    const observation = {
      resourceType: 'Observation', meta: { tag: [tag] }, status: 'final', code: { text: 'weight' },
      subject: { reference: 'urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8' },
    };
    const both = [entry('urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8', patient('Iradukunda')), entry('urn:uuid:6ba7b811-9dad-11d1-80b4-00c04fd430c8', observation)];
    const done = await client.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry: both } });
    assert.equal(done.type, 'transaction-response');
    assert.deepEqual(done.entry.map(({ response }) => response.status), ['201 Created', '201 Created']);
    const [, kind, id] = done.entry[1].response.location.match(/(Observation)\/([^/]+)\/_history\/1$/);
    const stored = await client.read({ resourceType: kind, id });
    assert.match(stored.subject.reference, /^Patient\//);
    const resolved = await client.resolve({ reference: stored.subject.reference });
    assert.equal(resolved.name[0].family, 'Iradukunda');
    const broken = [entry('urn:uuid:6ba7b812-9dad-11d1-80b4-00c04fd430c8', patient(`Never-${run}`)), { request: { method: 'DELETE', url: 'Foo/1' } }];
    const { status } = await refused(client.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry: broken } }));
    assert.equal(status, 400);
    const none = await client.search({ resourceType: 'Patient', searchParams: { family: `Never-${run}` } });
    assert.equal(none.total, 0);
  },

  async 'sends a batch, each entry for itself'() {
    const entry = [
      { resource: patient('Ishimwe'), request: { method: 'POST', url: 'Patient' } },
      { request: { method: 'GET', url: 'Patient/nobody' } },
      { request: { method: 'GET', url: `Patient?_tag=${tag.system}|${run}&_summary=count` } },
    ];
    const done = await client.batch({ body: { resourceType: 'Bundle', type: 'batch', entry } });
    assert.deepEqual(done.entry.map(({ response }) => response.status.slice(0, 3)), ['201', '404', '200']);
    assert.ok(done.entry[2].resource.total > 0);
  },
};

let failed = 0;
for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
    console.log(`[x] fhir-kit-client ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`[ ] fhir-kit-client ${name}: ${error.message}`);
  }
}
process.exitCode = failed > 0 ? 1 : 0;
