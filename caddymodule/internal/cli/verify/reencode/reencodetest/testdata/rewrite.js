// Reads a list of bodies, and writes what JavaScript makes of each: rewritten forms,
// and others by the name of the change that verify --explain finds.
const { inspect } = require("util")
const bodies = JSON.parse(require("fs").readFileSync(0, "utf8"))
const request = {
  headers: { "content-type": "application/json" }, params: {}, query: {},
  webhookUrl: "https://n8n.example.com/webhook/1", executionMode: "production",
}
const base64 = body => Buffer.from(body).toString("base64")
const forms = {
  rewritten: {
    "plain": body => JSON.stringify(JSON.parse(body)),
    "indented by 2": body => JSON.stringify(JSON.parse(body), null, 2),
    "indented by a tab, with a line end": body => JSON.stringify(JSON.parse(body), null, "\t") + "\n",
  },
  carried: {
    json_string: body => JSON.stringify(body),
    "json_string, twice": body => JSON.stringify(JSON.stringify(body)),
    "json_string, of a parsed body": body => JSON.stringify(JSON.stringify(JSON.parse(body))),
    json_escaped: body => JSON.stringify(body).slice(1, -1),
    body_base64: base64,
    "body_base64, for URLs": body => Buffer.from(body).toString("base64url"),
    "body_base64, in lines": body => base64(body).replace(/.{76}/g, "$&\n"),
    "body_base64, a URL of data": body => "data:application/json;base64," + base64(body),
    body_hex: body => Buffer.from(body).toString("hex"),
    bytes_listed: body => JSON.stringify(Buffer.from(body)),
    "bytes_listed, numbered": body => JSON.stringify(new Uint8Array(Buffer.from(body))),
    "bytes_listed, in an array": body => JSON.stringify([...Buffer.from(body)]),
    aws_event: body => JSON.stringify({ version: "2.0", routeKey: "$default", rawPath: "/", headers: {}, requestContext: {}, body, isBase64Encoded: false }),
    "aws_event, base64": body => JSON.stringify({ resource: "/", httpMethod: "POST", headers: {}, requestContext: {}, body: base64(body), isBase64Encoded: true }, null, 2),
    "aws_event, parsed": body => JSON.stringify({ httpMethod: "POST", headers: {}, body: JSON.parse(body) }),
    queue_message: body => JSON.stringify({ Records: [{ messageId: "1", body, eventSource: "aws:sqs" }] }),
    "queue_message, of SNS": body => JSON.stringify({ Type: "Notification", TopicArn: "arn", Message: body }),
    "queue_message, of SNS in SQS": body => JSON.stringify({ Records: [{ body: JSON.stringify({ Type: "Notification", TopicArn: "arn", Message: body }) }] }),
    "queue_message, of EventBridge": body => JSON.stringify({ version: "0", "detail-type": "webhook", detail: JSON.parse(body) }),
    "queue_message, of Pub/Sub": body => JSON.stringify({ message: { data: base64(body), messageId: "1" }, subscription: "s" }),
    n8n_item: body => JSON.stringify([{ ...request, body: JSON.parse(body) }]),
    "n8n_item, indented": body => JSON.stringify([{ ...request, body: JSON.parse(body) }], null, 2),
    "n8n_item, alone": body => JSON.stringify({ ...request, body: JSON.parse(body) }),
    "n8n_item, json": body => JSON.stringify([{ json: { ...request, body: JSON.parse(body) } }]),
    "n8n_item, json of the event": body => JSON.stringify([{ json: JSON.parse(body), pairedItem: { item: 0 } }]),
    array_of_one: body => JSON.stringify([JSON.parse(body)]),
    "array_of_one, raw": body => "[" + body + "]",
    data_only: body => JSON.stringify(JSON.parse(body).data),
    event_wrapped: body => JSON.stringify({ body: JSON.parse(body) }),
    "event_wrapped, as text": body => JSON.stringify({ received: "2026-11-25", payload: body }),
    "event_wrapped, deep": body => JSON.stringify({ request: { headers: {}, body: { json: JSON.parse(body) } } }),
    "event_wrapped, a CloudEvent": body => JSON.stringify({ specversion: "1.0", type: "webhook", id: "1", data: JSON.parse(body) }),
    "event_wrapped, a CloudEvent in base64": body => JSON.stringify({ specversion: "1.0", type: "webhook", id: "1", data_base64: base64(body) }),
    "event_wrapped, in data": body => JSON.stringify({ data: JSON.parse(body) }),
    data_stringified: body => JSON.stringify({ ...JSON.parse(body), data: JSON.stringify(JSON.parse(body).data) }),
    several_events: body => JSON.stringify([JSON.parse(body), { type: "x", data: {} }]),
    "several_events, in lines": body => body + "\n" + '{"type": "x", "data": {}}' + "\n",
    members_added: body => JSON.stringify({ ...JSON.parse(body), receivedAt: 1, controller: "webhooks" }),
    body_url_encoded: body => encodeURIComponent(body),
    "body_url_encoded, a field": body => new URLSearchParams({ payload: body, other: "1" }).toString(),
    body_html_escaped: body => body.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/'/g, "&#39;"),
    body_csv: body => '"' + body.replace(/"/g, '""') + '"',
    http_request: body => "POST /webhooks/elevenlabs HTTP/1.1\r\nHost: hooks.example.com\r\n\r\n" + body,
    text_around: body => "2026-11-25T12:00:00Z received body=" + body + " from 192.0.2.1\n",
    javascript_inspect: body => inspect(JSON.parse(body), { depth: Infinity, maxStringLength: Infinity, maxArrayLength: Infinity }),
    javascript_inspect_short: body => inspect(JSON.parse(body)),
    object_object: body => String(JSON.parse(body)),
    buffer_printed: body => inspect(Buffer.from(body)),
    names_changed: body => JSON.stringify(JSON.parse(body), (_, v) => v && typeof v === "object" && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).map(([k, x]) => [k.replace(/_(\w)/g, (_, c) => c.toUpperCase()), x])) : v),
    values_hidden: body => JSON.stringify(JSON.parse(body), (k, v) => k === "agent_id" ? "[Redacted]" : v),
    body_cut_off: body => body.slice(0, 2048),
    "body_cut_off, marked": body => body.slice(0, 2500) + "... [truncated]",
    "body_cut_off, of one rewritten": body => JSON.stringify(JSON.parse(body)).slice(0, -7),
    body_end_lost: body => body.slice(0, -2),
    lines_broken: body => body.replace(/.{80}/g, "$&\n"),
    characters_typeset: body => body.replace(/" ?/g, q => "”" + q.slice(1)),
  },
}
const out = {}
for (const [kind, writes] of Object.entries(forms)) {
  out[kind] = {}
  for (const [name, write] of Object.entries(writes)) out[kind][name] = bodies.map(body => write(body))
}
process.stdout.write(JSON.stringify(out))
