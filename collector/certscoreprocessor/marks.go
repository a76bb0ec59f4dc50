package certscoreprocessor // import "github.com/cert-otel/cert-otel/collector/certscoreprocessor"

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

type mark int

const (
	markNone mark = iota
	// markModel alone says that the span tells of a model.
	markModel
	// markLogfire and markLogfireTool say it together: Logfire records all sorts of spans.
	markLogfire
	markLogfireTool
)

// markOf says what the name of one attribute tells. The marks are those of
// src/cert_otel/wire/dialects; testdata/marks.json holds both to the same.
func markOf(name string) mark {
	if name == "" || !initials[name[0]] {
		return markNone
	}
	switch name {
	case "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.system", "gen_ai.request.model",
		"cert.record.kind",
		"ai.operationId",
		"llm.request.type", "llm.response.finish_reason", "llm.response.stop_reason", "gen_ai.openai.api_base",
		"llm.usage.prompt_tokens", "llm.usage.completion_tokens", "llm.usage.reasoning_tokens",
		"gen_ai.usage.cost", "gen_ai.is_streaming",
		"operation.cost", "pydantic_ai.all_messages", "all_messages_events", "agent_name", "final_result":
		return markModel
	case "gen_ai.tool.name", "request_data":
		return markLogfireTool
	}
	return prefixOf(name)
}

// initials of all marks. Most names of most spans (http, url, server, db, …) have none of them.
var initials = [256]bool{
	'a': true, 'c': true, 'f': true, 'g': true, 'l': true, 'o': true, 'p': true, 'r': true, 't': true,
}

func prefixOf(name string) mark {
	switch name[0] {
	case 'o':
		if strings.HasPrefix(name, "openinference.") {
			return markModel
		}
	case 't':
		if strings.HasPrefix(name, "traceloop.") {
			return markModel
		}
	case 'l':
		if strings.HasPrefix(name, "llm.input_messages.") || strings.HasPrefix(name, "llm.token_count.") ||
			strings.HasPrefix(name, "llm.model_name") {
			return markModel
		}
		if strings.HasPrefix(name, "logfire.") {
			return markLogfire
		}
	}
	return markNone
}

// tellsOfModel says whether a span with these attributes is one that the scorer makes a record of.
func tellsOfModel(attributes pcommon.Map) bool {
	logfire, tool := false, false
	for name := range attributes.All() {
		switch markOf(name) {
		case markModel:
			return true
		case markLogfire:
			logfire = true
		case markLogfireTool:
			tool = true
		case markNone:
		}
	}
	return logfire && tool
}

// findGenAI returns the spans that tell of a model, in order, without copying any.
func findGenAI(traces ptrace.Traces) []ptrace.Span {
	var found []ptrace.Span
	for _, resource := range traces.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				if tellsOfModel(span.Attributes()) {
					found = append(found, span)
				}
			}
		}
	}
	return found
}

// copyGenAI returns a copy of what tells of a model, under its resources and scopes.
func copyGenAI(traces ptrace.Traces) ptrace.Traces {
	chosen := ptrace.NewTraces()
	for _, resource := range traces.ResourceSpans().All() {
		copied := ptrace.NewResourceSpans()
		for _, scope := range resource.ScopeSpans().All() {
			copyScope(scope, copied)
		}
		if copied.ScopeSpans().Len() > 0 {
			resource.Resource().CopyTo(copied.Resource())
			copied.SetSchemaUrl(resource.SchemaUrl())
			copied.MoveTo(chosen.ResourceSpans().AppendEmpty())
		}
	}
	return chosen
}

func copyScope(scope ptrace.ScopeSpans, target ptrace.ResourceSpans) {
	copied := ptrace.NewScopeSpans()
	for _, span := range scope.Spans().All() {
		if tellsOfModel(span.Attributes()) {
			span.CopyTo(copied.Spans().AppendEmpty())
		}
	}
	if copied.Spans().Len() > 0 {
		scope.Scope().CopyTo(copied.Scope())
		copied.SetSchemaUrl(scope.SchemaUrl())
		copied.MoveTo(target.ScopeSpans().AppendEmpty())
	}
}
