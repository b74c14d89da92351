// An application that takes ElevenLabs events from Caddy.
//
// It must listen on 127.0.0.1. The X-ElevenLabs-* headers can be trusted only
// because nobody except Caddy reaches the application.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

const server = createServer(async (request, response) => {
  const chunks = [];
  try {
    for await (const chunk of request) chunks.push(chunk);
  } catch {
    return; // Caddy broke off. Uncaught, this error would end the process.
  }
  const body = Buffer.concat(chunks); // audio takes tens of megabytes, so do not add up strings
  const header = (name) => request.headers[name] ?? null;
  const event = {
    event_type: header("x-elevenlabs-event-type"),
    event_id: header("x-elevenlabs-event-id"),
    conversation_id: header("x-elevenlabs-conversation-id"),
    agent_id: header("x-elevenlabs-agent-id"),
    secret_name: header("x-elevenlabs-secret-name"),
    verified: header("x-elevenlabs-verified"),
    bytes: body.length,
    sha256: createHash("sha256").update(body).digest("hex"),
  };

  // Your work goes here. ElevenLabs may send the same event twice: store event_id
  // under a unique index, and do nothing if it is there already. Store or queue the
  // body, answer, and then work on JSON.parse(body).
  console.log(event.event_type, event.event_id, body.length, "bytes");

  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(event));
});

server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
