// The application for the Vercel AI SDK: `node vercel.mjs SCENARIOS.json`, beside its packages.
// After each scenario everything is exported, and the receiver is told.
import { readFileSync } from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { defaultResource, detectResources, envDetector } from "@opentelemetry/resources";
import { NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";
import { embed, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const exporter = new OTLPTraceExporter();
const provider = new NodeTracerProvider({
  resource: defaultResource().merge(detectResources({ detectors: [envDetector] })),
  spanProcessors: [new SimpleSpanProcessor(exporter)],
});
provider.register(); // with a context manager: spans have parents
const openai = createOpenAI({ apiKey: "none", baseURL: process.env.OPENAI_BASE_URL });
const { scenarios, weather_result: weatherResult } = JSON.parse(readFileSync(process.argv[2]));

const telemetry = {
  isEnabled: true,
  functionId: "golden",
  metadata: { userId: "u-1" },
  tracer: provider.getTracer("ai"),
};
const shared = { maxRetries: 0, experimental_telemetry: telemetry };

/** Our weather function, of whose description and parameters the request tells. */
function makeTools(specifications) {
  return Object.fromEntries(
    specifications.map(({ function: { name, description, parameters } }) => [
      name,
      tool({
        description,
        inputSchema: jsonSchema(parameters),
        execute: async () => JSON.parse(weatherResult),
      }),
    ]),
  );
}

async function chat({ model, messages, temperature, stream, tools }) {
  const call = {
    ...shared,
    model: openai.chat(model),
    messages,
    allowSystemInMessages: true,
    temperature,
    ...(tools && { tools: makeTools(tools), stopWhen: stepCountIs(2) }),
  };
  if (stream) await streamText(call).consumeStream();
  else await generateText(call);
}

const endpoints = {
  chat,
  responses: ({ model, instructions, input }) =>
    generateText({ ...shared, model: openai.responses(model), system: instructions, prompt: input }),
  embeddings: ({ model, input, dimensions }) =>
    embed({
      ...shared,
      model: openai.embedding(model),
      value: input,
      providerOptions: { openai: { dimensions } },
    }),
};

for (const { name, calls } of scenarios) {
  const { endpoint, request } = calls[0];
  await endpoints[endpoint](request).catch((error) => {
    if (error.name !== "AI_APICallError") throw error;
  });
  await provider.forceFlush();
  const url = `${process.env.OTEL_EXPORTER_OTLP_ENDPOINT}/mark?scenario=${encodeURIComponent(name)}`;
  await fetch(url, { method: "POST" });
}
await provider.shutdown();
