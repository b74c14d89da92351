// Does with the official SDK what operations in sdk_test.go does with our client.
//
//   node sdk.mjs <directory with node_modules> <the server's URL> <API key>
import { createRequire } from "node:module";

const [directory, baseUrl, apiKey] = process.argv.slice(2);
const { ElevenLabsClient } = createRequire(directory + "/")("@elevenlabs/elevenlabs-js");
const { webhooks, conversationalAi } = new ElevenLabsClient({ apiKey, baseUrl, maxRetries: 0 });

const settings = { authType: "hmac", name: "gateway & <co>", webhookUrl: "https://hooks.example.com/é?a=1&b=2" };
await webhooks.create({ settings });
const { webhookId: id } = await webhooks.create({ settings: { ...settings, requestHeaders: { "X-Env": "prod" } } });
await webhooks.list({ includeUsages: true });
await webhooks.update(id, { isDisabled: true, name: "gateway" });
await webhooks.update(id, {
  isDisabled: false,
  name: "renamed",
  retryEnabled: true,
  requestHeaders: { "X-Env": "test", "X-Tenant": "" },
  events: ["speech_to_text", "agent_qa", "flows", "voice_library_removal_notice"],
});
await webhooks.update(id, { isDisabled: false, name: "renamed", retryEnabled: false, requestHeaders: {}, events: [] });

await conversationalAi.settings.get();
await conversationalAi.settings.update({
  webhooks: { postCallWebhookId: id, events: ["transcript", "audio"], transcriptFormat: "opentelemetry", excludeTranscript: true, sendAudio: false },
});
for (const agent of ["agent_1", "an agent/é"]) {
  const { platformSettings } = await conversationalAi.agents.get(agent);
  await conversationalAi.agents.update(agent, {
    platformSettings: {
      workspaceOverrides: {
        ...platformSettings.workspaceOverrides,
        webhooks: { postCallWebhookId: id, events: ["call_initiation_failure"], transcriptFormat: "json", excludeTranscript: false },
      },
    },
  });
}
await webhooks.delete("wh_new_1");

const { conversations } = conversationalAi;
const span = { callStartAfterUnix: 1795951200, callStartBeforeUnix: 1795954800, pageSize: 100 };
let { nextCursor } = await conversations.list(span);
await conversations.list({ ...span, cursor: nextCursor });
await conversations.list({ ...span, agentId: "an agent/é +&" });
for (const id of ["conv_1", "conv/é+"]) {
  await conversations.get(id);
  await new Response(await conversations.audio.get(id)).arrayBuffer();
}
