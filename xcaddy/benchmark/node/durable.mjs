// The server of server.mjs, which also keeps each event: it appends the event to a
// file, waits until the disk has it, and answers 200 then. It does not deliver it.
import { open } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { ElevenLabsClient } from "@elevenlabs/elevenlabs-js";
import express from "express";

const { webhooks } = new ElevenLabsClient({ apiKey: "unused" });
const file = await open(process.env.EVENTS, "a", 0o600);
const app = express();

app.post("/webhooks/elevenlabs", express.raw({ type: "*/*", limit: "100mb" }), async (request, response) => {
  const body = request.body.toString("utf8");
  try {
    await webhooks.constructEvent(body, request.headers["elevenlabs-signature"], process.env.WEBHOOK_SECRET);
  } catch (error) {
    return response.status(request.headers["elevenlabs-signature"] ? 401 : 400).end();
  }
  await file.appendFile(body + "\n");
  await file.datasync();
  response.status(200).end();
});

const certificate = { cert: readFileSync(process.env.CERTIFICATE), key: readFileSync(process.env.KEY) };
createServer(certificate, app).listen(Number(process.env.PORT), "127.0.0.1");
