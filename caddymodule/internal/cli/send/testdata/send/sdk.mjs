// A backend that verifies with the official SDK: it answers 200 to what
// constructEvent accepts, 401 to what it refuses, and 422 to what it accepts but
// is not as documented, saying so on standard error.
//
//   node sdk.mjs <directory with node_modules>
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(process.argv[2] + "/");
const { ElevenLabsClient } = require("@elevenlabs/elevenlabs-js");
const models = require("@elevenlabs/elevenlabs-js/serialization");
const { webhooks } = new ElevenLabsClient({ apiKey: "unused" });
const secret = process.env.SECRET;

// The SDK's own models of what events carry.
const shapes = {
  post_call_transcription: [models.GetConversationResponseModel, (data) => data],
  speech_to_text_transcription: [models.SpeechToTextChunkResponseModel, (data) => data.transcription],
  flows_generation: [models.MediaGenerationResponse, (data) => data],
  flows_template_run: [models.TemplateRunResponse, (data) => data],
};

function problem(event, headers) {
  const { type, event_timestamp: time, data } = event;
  if (!Number.isInteger(time) || Math.abs(Date.now() / 1000 - time) > 60) return `event_timestamp is ${time}`;
  if (headers["content-type"] !== "application/json") return `Content-Type is ${headers["content-type"]}`;
  if ((headers["transfer-encoding"] === "chunked") !== (type === "post_call_audio")) return "chunked, or not chunked";
  if (type === "post_call_audio" && Buffer.from(data.full_audio, "base64").toString("base64") !== data.full_audio) return "full_audio is no base64";
  if (!shapes[type]) return null;
  const [model, part] = shapes[type];
  const parsed = model.parse(part(data), { unrecognizedObjectKeys: "fail" });
  return parsed.ok ? null : JSON.stringify(parsed.errors);
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  let event;
  try {
    event = await webhooks.constructEvent(Buffer.concat(chunks).toString("utf8"), request.headers["elevenlabs-signature"], secret);
  } catch (error) {
    response.writeHead(401).end(error.message);
    return;
  }
  const wrong = problem(event, request.headers);
  if (wrong) console.error(`${event.type}: ${wrong}`);
  response.writeHead(wrong ? 422 : 200).end();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
