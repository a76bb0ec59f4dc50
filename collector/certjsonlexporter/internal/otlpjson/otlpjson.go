// Package otlpjson writes OTLP JSON: the bytes that pdata's marshalers write, in a fraction of their
// time. Those append texts byte by byte and return a copy; this appends to a buffer of the caller's.
package otlpjson // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter/internal/otlpjson"

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/xpdata/entity"
)

// AppendTraces appends an ExportTraceServiceRequest.
func AppendTraces(b []byte, traces ptrace.Traces) []byte {
	o := begin(b)
	all := traces.ResourceSpans()
	o.array("resourceSpans", all.Len(), func(b []byte, index int) []byte {
		return appendResourceSpans(b, all.At(index))
	})
	return o.end()
}

func appendResourceSpans(b []byte, spans ptrace.ResourceSpans) []byte {
	o := begin(b)
	o.resource(spans.Resource())
	scopes := spans.ScopeSpans()
	o.array("scopeSpans", scopes.Len(), func(b []byte, index int) []byte {
		return appendScopeSpans(b, scopes.At(index))
	})
	o.text("schemaUrl", spans.SchemaUrl())
	return o.end()
}

func appendScopeSpans(b []byte, spans ptrace.ScopeSpans) []byte {
	o := begin(b)
	o.scope(spans.Scope())
	all := spans.Spans()
	o.array("spans", all.Len(), func(b []byte, index int) []byte {
		return appendSpan(b, all.At(index))
	})
	o.text("schemaUrl", spans.SchemaUrl())
	return o.end()
}

func appendSpan(b []byte, span ptrace.Span) []byte {
	o := begin(b)
	traceID, spanID, parentID := span.TraceID(), span.SpanID(), span.ParentSpanID()
	o.id("traceId", traceID[:])
	o.id("spanId", spanID[:])
	o.text("traceState", span.TraceState().AsRaw())
	o.id("parentSpanId", parentID[:])
	o.count("flags", span.Flags())
	o.text("name", span.Name())
	o.enum("kind", int32(span.Kind()))
	o.time("startTimeUnixNano", span.StartTimestamp())
	o.time("endTimeUnixNano", span.EndTimestamp())
	o.attributes(span.Attributes(), span.DroppedAttributesCount())
	events, links := span.Events(), span.Links()
	o.array("events", events.Len(), func(b []byte, index int) []byte {
		return appendEvent(b, events.At(index))
	})
	o.count("droppedEventsCount", span.DroppedEventsCount())
	o.array("links", links.Len(), func(b []byte, index int) []byte {
		return appendLink(b, links.At(index))
	})
	o.count("droppedLinksCount", span.DroppedLinksCount())
	o.field("status")
	status := begin(o.b)
	status.text("message", span.Status().Message())
	status.enum("code", int32(span.Status().Code()))
	o.b = status.end()
	return o.end()
}

func appendEvent(b []byte, event ptrace.SpanEvent) []byte {
	o := begin(b)
	o.time("timeUnixNano", event.Timestamp())
	o.text("name", event.Name())
	o.attributes(event.Attributes(), event.DroppedAttributesCount())
	return o.end()
}

func appendLink(b []byte, link ptrace.SpanLink) []byte {
	o := begin(b)
	traceID, spanID := link.TraceID(), link.SpanID()
	o.id("traceId", traceID[:])
	o.id("spanId", spanID[:])
	o.text("traceState", link.TraceState().AsRaw())
	o.attributes(link.Attributes(), link.DroppedAttributesCount())
	o.count("flags", link.Flags())
	return o.end()
}

// AppendLogs appends an ExportLogsServiceRequest.
func AppendLogs(b []byte, logs plog.Logs) []byte {
	o := begin(b)
	all := logs.ResourceLogs()
	o.array("resourceLogs", all.Len(), func(b []byte, index int) []byte {
		return appendResourceLogs(b, all.At(index))
	})
	return o.end()
}

func appendResourceLogs(b []byte, logs plog.ResourceLogs) []byte {
	o := begin(b)
	o.resource(logs.Resource())
	scopes := logs.ScopeLogs()
	o.array("scopeLogs", scopes.Len(), func(b []byte, index int) []byte {
		return appendScopeLogs(b, scopes.At(index))
	})
	o.text("schemaUrl", logs.SchemaUrl())
	return o.end()
}

func appendScopeLogs(b []byte, logs plog.ScopeLogs) []byte {
	o := begin(b)
	o.scope(logs.Scope())
	records := logs.LogRecords()
	o.array("logRecords", records.Len(), func(b []byte, index int) []byte {
		return appendRecord(b, records.At(index))
	})
	o.text("schemaUrl", logs.SchemaUrl())
	return o.end()
}

func appendRecord(b []byte, record plog.LogRecord) []byte {
	o := begin(b)
	traceID, spanID := record.TraceID(), record.SpanID()
	o.time("timeUnixNano", record.Timestamp())
	o.time("observedTimeUnixNano", record.ObservedTimestamp())
	o.enum("severityNumber", int32(record.SeverityNumber()))
	o.text("severityText", record.SeverityText())
	o.field("body")
	o.b = appendValue(o.b, record.Body())
	o.attributes(record.Attributes(), record.DroppedAttributesCount())
	o.count("flags", uint32(record.Flags()))
	o.id("traceId", traceID[:])
	o.id("spanId", spanID[:])
	o.text("eventName", record.EventName())
	return o.end()
}

func (o *object) resource(resource pcommon.Resource) {
	o.field("resource")
	r := begin(o.b)
	r.attributes(resource.Attributes(), resource.DroppedAttributesCount())
	refs := entity.ResourceEntityRefs(resource)
	r.array("entityRefs", refs.Len(), func(b []byte, index int) []byte {
		return appendEntity(b, refs.At(index))
	})
	o.b = r.end()
}

func appendEntity(b []byte, ref entity.EntityRef) []byte {
	o := begin(b)
	o.text("schemaUrl", ref.SchemaUrl())
	o.text("type", ref.Type())
	o.texts("idKeys", ref.IdKeys())
	o.texts("descriptionKeys", ref.DescriptionKeys())
	return o.end()
}

func (o *object) scope(scope pcommon.InstrumentationScope) {
	o.field("scope")
	s := begin(o.b)
	s.text("name", scope.Name())
	s.text("version", scope.Version())
	s.attributes(scope.Attributes(), scope.DroppedAttributesCount())
	o.b = s.end()
}
