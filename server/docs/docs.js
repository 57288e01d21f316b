"use strict";

// Shows openapi.json: every operation with its parameters, body and answers, and a form that tries it.

const methods = ["get", "post", "put", "patch", "delete"];

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node[name] = value;
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

function resolve(doc, schema) {
  if (!schema || !schema.$ref) return schema;
  return doc.components.schemas[schema.$ref.split("/").pop()];
}

function nameOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const parts = schema.anyOf || schema.oneOf;
  if (parts) return parts.map(nameOf).join(" | ");
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
  const type = Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type || "";
  if (schema.items) return "[" + nameOf(schema.items) + "]";
  return schema.format ? type + " (" + schema.format + ")" : type;
}

function fieldTable(doc, schema) {
  const rows = Object.entries(schema.properties || {})
    .filter(([name]) => name !== "$schema")
    .map(([name, field]) => make("tr", {},
      make("td", {}, make("code", { textContent: name }), (schema.required || []).includes(name) ? " *" : ""),
      make("td", { className: "note", textContent: nameOf(field) }),
      make("td", { textContent: field.description || "" })));
  return rows.length ? make("table", {}, ...rows) : null;
}

function bodySchema(doc, operation) {
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  return content ? resolve(doc, content.schema) : null;
}

function example(schema) {
  const value = {};
  for (const name of Object.keys(schema.properties || {})) {
    if (name !== "$schema" && (schema.required || []).includes(name)) value[name] = "";
  }
  if (schema.properties && schema.properties.content) value.content = "Hello";
  return JSON.stringify(value, null, 2);
}

async function send(method, path, fields, body, output) {
  let url = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") url = url.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
    else if (input.value !== "" && parameter.in === "query") query.set(parameter.name, input.value);
    else if (input.value !== "") headers[parameter.name] = input.value;
  }
  if ([...query].length) url += "?" + query;
  const token = document.getElementById("token").value;
  if (token) headers.Authorization = "Bearer " + token;
  if (body && body.value.trim()) headers["Content-Type"] = "application/json";
  output.hidden = false;
  try {
    const answer = await fetch(url, { method: method.toUpperCase(), headers, body: headers["Content-Type"] ? body.value : undefined });
    let text = await answer.text();
    try {
      const parsed = JSON.parse(text);
      if (parsed.token) document.getElementById("token").value = parsed.token;
      text = JSON.stringify(parsed, null, 2);
    } catch { /* not JSON: shown as it is */ }
    const shown = [...answer.headers].map(([name, value]) => name + ": " + value).join("\n");
    output.textContent = answer.status + " " + answer.statusText + "\n" + shown + "\n\n" + text;
  } catch (failure) {
    output.textContent = String(failure);
  }
}

function show(doc, path, method, operation) {
  const fields = (operation.parameters || []).map((parameter) => ({
    parameter,
    input: make("input", { placeholder: nameOf(resolve(doc, parameter.schema)) }),
  }));
  const schema = bodySchema(doc, operation);
  const body = schema ? make("textarea", { value: example(schema) }) : null;
  const output = make("pre", { hidden: true });
  const button = make("button", { textContent: "Try it", onclick: () => send(method, path, fields, body, output) });
  const needs = operation.security ? (operation.security.some((s) => !Object.keys(s).length) ? "token optional" : "token needed") : "no token";
  const answers = Object.entries(operation.responses).sort().map(([status, answer]) => {
    const content = Object.values(answer.content || {})[0];
    return make("tr", {}, make("td", { textContent: status }), make("td", { textContent: answer.description }),
      make("td", { className: "note", textContent: content ? nameOf(content.schema) : "" }));
  });
  return make("details", { id: operation.operationId },
    make("summary", {},
      make("span", { className: "method " + method, textContent: method.toUpperCase() }),
      make("span", { className: "path", textContent: path }), "  ",
      make("span", { className: "note", textContent: operation.summary + " · " + needs })),
    make("div", {},
      fields.length ? make("table", {}, ...fields.map(({ parameter, input }) => make("tr", {},
        make("td", {}, make("code", { textContent: parameter.name }), parameter.required ? " *" : ""),
        make("td", {}, input),
        make("td", { textContent: parameter.description || "" })))) : null,
      schema ? fieldTable(doc, schema) : null, body,
      make("p", {}, button), output,
      make("table", {}, ...answers)));
}

function showSchemas(doc) {
  const all = Object.entries(doc.components.schemas).sort().map(([name, schema]) => make("details", {},
    make("summary", {}, make("code", { textContent: name })),
    make("div", {}, schema.description || "", fieldTable(doc, schema))));
  return [make("h2", { textContent: "schemas" }), ...all];
}

async function main() {
  const doc = await (await fetch("/openapi.json")).json();
  document.getElementById("version").textContent = doc.info.version;
  const groups = new Map();
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const method of methods) {
      if (!item[method]) continue;
      const tag = (item[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(show(doc, path, method, item[method]));
    }
  }
  const place = document.getElementById("operations");
  place.append(make("p", { textContent: doc.info.description }));
  for (const [tag, shown] of [...groups].sort()) place.append(make("h2", { textContent: tag }), ...shown);
  place.append(...showSchemas(doc));
}

main();
