// An Express application that verifies with the official SDK's constructEvent, as
// its documentation shows. Its limit for bodies allows audio.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { ElevenLabsClient } from "@elevenlabs/elevenlabs-js";
import express from "express";

const { webhooks } = new ElevenLabsClient({ apiKey: "unused" });
const app = express();

app.post("/webhooks/elevenlabs", express.raw({ type: "*/*", limit: "100mb" }), async (request, response) => {
  try {
    await webhooks.constructEvent(request.body.toString("utf8"), request.headers["elevenlabs-signature"], process.env.WEBHOOK_SECRET);
  } catch (error) {
    return response.status(request.headers["elevenlabs-signature"] ? 401 : 400).end();
  }
  response.status(200).end();
});

const certificate = { cert: readFileSync(process.env.CERTIFICATE), key: readFileSync(process.env.KEY) };
createServer(certificate, app).listen(Number(process.env.PORT), "127.0.0.1");
