// Makes vectors.json: signature headers and bodies with the official SDK's
// verdict on each. Everything in it is fixed, so that a second run makes the
// same file.
//
//   npm ci && node make.mjs           writes vectors.json
//   npm ci && node make.mjs --check   fails if vectors.json would change
import { createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { ElevenLabsClient } from "@elevenlabs/elevenlabs-js";

const now = 1795421654; // the clock that the SDK sees, in Unix seconds
Date.now = () => now * 1000;

const secret = "wsec_" + "0123456789abcdef".repeat(4);
const mac = (t, body, key = secret) => createHmac("sha256", key).update(t + ".").update(body).digest("hex");
const sign = (body, t = now, key = secret) => `t=${t},v0=${mac(t, body, key)}`;

const event = (type, data) => JSON.stringify({ type, event_timestamp: 1739537297, data });
const call = { agent_id: "agent_1", conversation_id: "conv_1" };
const transcript = event("post_call_transcription", { ...call, status: "done", transcript: [{ role: "agent", message: "Hello" }] });
const zeros = "0".repeat(64);

// name, header, body, secret
const vectors = [
  ["transcript", sign(transcript), transcript],
  ...[
    event("post_call_transcription_otel", { ...call, otlp_traces: { resourceSpans: [] } }),
    event("post_call_audio", { ...call, full_audio: "SUQzBAAA".repeat(1024) }),
    event("call_initiation_failure", { ...call, failure_reason: "busy", metadata: { type: "sip", body: { call_sid: "x", sip_status_code: 486 } } }),
    event("speech_to_text_transcription", { request_id: "req_1", transcription: { text: "hello" } }),
    event("voice_removal_notice", { voice_id: "voice_1" }),
    event("flows_generation", { id: "x", status: "completed" }),
  ].map((body) => [JSON.parse(body).type, sign(body), body]),
  ...[
    ["unicode as UTF-8", '{"message":"Grüße 👋 你好"}'],
    ["unicode escaped", '{"message":"Gr\\u00fc\\u00dfe \\ud83d\\udc4b"}'],
    ["spaces as Python writes them", '{"a": 1, "b": [1, 2], "c": 0.0, "d": 1e-05}'],
    ["line ends", '{\r\n\t"a": 1\n}\n'],
    ["repeated names", '{"a":1,"a":2}'],
    ["large number", '{"a":123456789012345678901234567890}'],
    ["null", "null"],
  ].map(([name, body]) => [name, sign(body), body]),

  ["v0 before t", `v0=${mac(now, transcript)},t=${now}`, transcript],
  ["unknown scheme", sign(transcript) + ",v1=zzz", transcript],
  ["trailing comma", sign(transcript) + ",", transcript],
  ["blank after comma", sign(transcript).replace(",", ", "), transcript],
  ["blank before t", " " + sign(transcript), transcript],
  ["blank behind the hex", sign(transcript) + " ", transcript],
  ["upper-case hex", `t=${now},v0=${mac(now, transcript).toUpperCase()}`, transcript],
  ["two v0, the good one first", sign(transcript) + ",v0=" + zeros, transcript],
  ["two v0, the good one last", `t=${now},v0=${zeros},v0=${mac(now, transcript)}`, transcript],
  ["two t, the signed one first", `t=${now},t=1,v0=${mac(now, transcript)}`, transcript],
  ["two t, the signed one last", `t=1,t=${now},v0=${mac(now, transcript)}`, transcript],
  ["two lines joined", sign(transcript) + ", " + sign(transcript), transcript],
  ["leading zero in t", sign(transcript, "0" + now), transcript],

  ["30 minutes old", sign(transcript, now - 1800), transcript],
  ["30 minutes and a second old", sign(transcript, now - 1801), transcript],
  ["5 minutes ahead", sign(transcript, now + 300), transcript],
  ["5 minutes and a second ahead", sign(transcript, now + 301), transcript],
  ["an hour ahead", sign(transcript, now + 3600), transcript],
  ["100 years ahead", sign(transcript, now + 3155760000), transcript],
  ["milliseconds", sign(transcript, now * 1000), transcript],
  ["t of a word", sign(transcript, "abc"), transcript],
  ["t NaN", sign(transcript, "NaN"), transcript],
  ["t Infinity", sign(transcript, "Infinity"), transcript],
  ["t with a fraction", sign(transcript, now + ".5"), transcript],
  ["t with an exponent", sign(transcript, "1e12"), transcript],
  ["t in hexadecimal", sign(transcript, "0x" + now.toString(16)), transcript],
  ["t with a sign", sign(transcript, "+" + now), transcript],
  ["t negative", sign(transcript, "-1"), transcript],
  ["t with blanks", sign(transcript, "  " + now), transcript],
  ["t with underscores", sign(transcript, "1_795_421_654"), transcript],
  ["t of 5000 digits", sign(transcript, "9".repeat(5000)), transcript],
  ["t empty", sign(transcript, ""), transcript],
  ["one MAC for another body", `t=${now}.5,v0=${mac(now, "5.{}")}`, "{}"],

  ["header empty", "", transcript],
  ["only v1", `t=${now},v1=${mac(now, transcript)}`, transcript],
  ["only t", `t=${now}`, transcript],
  ["schemes in upper case", `T=${now},V0=${mac(now, transcript)}`, transcript],
  ["semicolon", `t=${now};v0=${mac(now, transcript)}`, transcript],
  ["v0 empty", `t=${now},v0=`, transcript],
  ["v0 too short", sign(transcript).slice(0, -1), transcript],
  ["v0 quoted", `t=${now},v0="${mac(now, transcript)}"`, transcript],
  ["body tampered", sign(transcript), transcript.replace("Hello", "Hallo")],
  ["body with a line end added", sign(transcript), transcript + "\n"],
  ["timestamp tampered", sign(transcript).replace(`t=${now}`, `t=${now + 1}`), transcript],
  ["another secret", sign(transcript, now, "wsec_other"), transcript],
  ["secret without its prefix", sign(transcript, now, secret.slice(5)), transcript],
  ["secret with a line end", sign(transcript, now, secret + "\n"), transcript],
  ["body empty", sign(""), ""],
  ["body not JSON", sign("hello"), "hello"],
  ["body with a byte order mark", sign("\ufeff{}"), "\ufeff{}"],
  ["body not UTF-8", sign(Buffer.from([0x7b, 0xff, 0x7d])), Buffer.from([0x7b, 0xff, 0x7d])],
];

const { webhooks } = new ElevenLabsClient({ apiKey: "unused" });
const made = [];
for (const [name, header, body] of vectors) {
  const bytes = Buffer.from(body);
  let sdk = "accept";
  try {
    await webhooks.constructEvent(bytes.toString("utf8"), header, secret);
  } catch (error) {
    sdk = error.name === "SyntaxError" ? "reject: SyntaxError" : `reject: ${error.message.split("\n")[0]}`;
  }
  made.push({ name, secret, header, body_base64: bytes.toString("base64"), now_unix: now, sdk });
}
const text = JSON.stringify(made, null, 2) + "\n";

const file = new URL("vectors.json", import.meta.url);
if (process.argv[2] !== "--check") {
  writeFileSync(file, text);
} else if (readFileSync(file, "utf8") !== text) {
  console.error("vectors.json is not what make.mjs makes with this version of the SDK: run it without --check and read the difference");
  process.exitCode = 1;
}
