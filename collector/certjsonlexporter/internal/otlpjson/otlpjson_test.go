package otlpjson

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.opentelemetry.io/collector/pdata/xpdata/entity"
)

// requireSameTraces compares with pdata's marshaler, byte for byte.
func requireSameTraces(t *testing.T, traces ptrace.Traces) {
	t.Helper()
	expected, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
	require.NoError(t, err)
	require.Equal(t, string(expected), string(AppendTraces(nil, traces)))
}

func requireSameLogs(t *testing.T, logs plog.Logs) {
	t.Helper()
	expected, err := (&plog.JSONMarshaler{}).MarshalLogs(logs)
	require.NoError(t, err)
	require.Equal(t, string(expected), string(AppendLogs(nil, logs)))
}

func TestGenerated(t *testing.T) {
	for count := range 20 {
		requireSameTraces(t, testdata.GenerateTraces(count))
		requireSameLogs(t, testdata.GenerateLogs(count))
	}
	requireSameTraces(t, ptrace.NewTraces())
	requireSameLogs(t, plog.NewLogs())
}

func TestAppends(t *testing.T) {
	traces := testdata.GenerateTraces(2)
	require.Equal(t, "before"+string(AppendTraces(nil, traces)), string(AppendTraces([]byte("before"), traces)))
}

// TestEveryField has all fields set, each with what is drawn.
func TestEveryField(t *testing.T) {
	for seed := range uint64(300) {
		d := drawer{rand.New(rand.NewPCG(seed, 0))}
		requireSameTraces(t, d.traces())
		requireSameLogs(t, d.logs())
	}
}

func FuzzText(f *testing.F) {
	for _, text := range []string{"", "plain", "a\"b\\c\nd\re\tf\x00\x1f\x7f", "<&>", "é, 漢, 😀", "\xff\xfe", "\u2028"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		traces := ptrace.NewTraces()
		span := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		span.SetName(text)
		span.Attributes().PutStr(text, text)
		requireSameTraces(t, traces)
	})
}

func FuzzDouble(f *testing.F) {
	for _, value := range []float64{0, math.Copysign(0, -1), 1e-7, 1e-6, 1e21, 1e20, -0.1, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN()} {
		f.Add(math.Float64bits(value))
	}
	f.Fuzz(func(t *testing.T, bits uint64) {
		logs := plog.NewLogs()
		record := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		record.Body().SetDouble(math.Float64frombits(bits))
		requireSameLogs(t, logs)
	})
}

type drawer struct{ *rand.Rand }

func (d drawer) text() string {
	parts := []string{"", "a", "word ", "\"", "\\", "\n", "\t", "\x01", "é", "漢", "😀", "/", "<b>&", "\u2028"}
	var text strings.Builder
	for range d.IntN(6) {
		text.WriteString(parts[d.IntN(len(parts))])
	}
	return text.String()
}

func (d drawer) value(value pcommon.Value, depth int) {
	switch d.IntN(8) {
	case 0:
		value.SetStr(d.text())
	case 1:
		value.SetBool(d.IntN(2) == 0)
	case 2:
		value.SetInt(int64(d.Uint64()))
	case 3:
		value.SetDouble(math.Float64frombits(d.Uint64()))
	case 4:
		value.SetEmptyBytes().FromRaw([]byte(d.text()))
	case 5:
		slice := value.SetEmptySlice()
		for range d.IntN(4 - depth) {
			d.value(slice.AppendEmpty(), depth+1)
		}
	case 6:
		d.fill(value.SetEmptyMap(), depth+1)
	}
}

func (d drawer) fill(values pcommon.Map, depth int) {
	for range d.IntN(5 - depth) {
		d.value(values.PutEmpty(d.text()), min(depth, 3))
	}
}

func (d drawer) traceID() (id pcommon.TraceID) {
	id[d.IntN(len(id))] = byte(d.IntN(3))
	return id
}

func (d drawer) spanID() (id pcommon.SpanID) {
	id[d.IntN(len(id))] = byte(d.IntN(3))
	return id
}

func (d drawer) count() uint32 {
	return d.Uint32() * uint32(d.IntN(2))
}

func (d drawer) time() pcommon.Timestamp {
	return pcommon.Timestamp(d.Uint64() * d.Uint64N(2))
}

func (d drawer) resource(resource pcommon.Resource) {
	d.fill(resource.Attributes(), 0)
	resource.SetDroppedAttributesCount(d.count())
	for range d.IntN(3) {
		ref := entity.ResourceEntityRefs(resource).AppendEmpty()
		ref.SetType(d.text())
		ref.SetSchemaUrl(d.text())
		ref.IdKeys().Append(d.text(), d.text())
		ref.DescriptionKeys().Append(d.text())
	}
}

func (d drawer) scope(scope pcommon.InstrumentationScope) {
	scope.SetName(d.text())
	scope.SetVersion(d.text())
	d.fill(scope.Attributes(), 0)
	scope.SetDroppedAttributesCount(d.count())
}

func (d drawer) traces() ptrace.Traces {
	traces := ptrace.NewTraces()
	for range d.IntN(3) {
		resource := traces.ResourceSpans().AppendEmpty()
		d.resource(resource.Resource())
		resource.SetSchemaUrl(d.text())
		for range d.IntN(3) {
			scope := resource.ScopeSpans().AppendEmpty()
			d.scope(scope.Scope())
			scope.SetSchemaUrl(d.text())
			for range d.IntN(3) {
				d.span(scope.Spans().AppendEmpty())
			}
		}
	}
	return traces
}

func (d drawer) span(span ptrace.Span) {
	span.SetTraceID(d.traceID())
	span.SetSpanID(d.spanID())
	span.SetParentSpanID(d.spanID())
	span.TraceState().FromRaw(d.text())
	span.SetFlags(d.count())
	span.SetName(d.text())
	span.SetKind(ptrace.SpanKind(d.IntN(6)))
	span.SetStartTimestamp(d.time())
	span.SetEndTimestamp(d.time())
	d.fill(span.Attributes(), 0)
	span.SetDroppedAttributesCount(d.count())
	span.SetDroppedEventsCount(d.count())
	span.SetDroppedLinksCount(d.count())
	span.Status().SetMessage(d.text())
	span.Status().SetCode(ptrace.StatusCode(d.IntN(3)))
	for range d.IntN(3) {
		event := span.Events().AppendEmpty()
		event.SetName(d.text())
		event.SetTimestamp(d.time())
		d.fill(event.Attributes(), 0)
		event.SetDroppedAttributesCount(d.count())
		link := span.Links().AppendEmpty()
		link.SetTraceID(d.traceID())
		link.SetSpanID(d.spanID())
		link.TraceState().FromRaw(d.text())
		link.SetFlags(d.count())
		d.fill(link.Attributes(), 0)
		link.SetDroppedAttributesCount(d.count())
	}
}

func (d drawer) logs() plog.Logs {
	logs := plog.NewLogs()
	for range d.IntN(3) {
		resource := logs.ResourceLogs().AppendEmpty()
		d.resource(resource.Resource())
		resource.SetSchemaUrl(d.text())
		for range d.IntN(3) {
			scope := resource.ScopeLogs().AppendEmpty()
			d.scope(scope.Scope())
			scope.SetSchemaUrl(d.text())
			for range d.IntN(3) {
				d.record(scope.LogRecords().AppendEmpty())
			}
		}
	}
	return logs
}

func (d drawer) record(record plog.LogRecord) {
	record.SetTimestamp(d.time())
	record.SetObservedTimestamp(d.time())
	record.SetSeverityNumber(plog.SeverityNumber(d.IntN(25)))
	record.SetSeverityText(d.text())
	d.value(record.Body(), 0)
	d.fill(record.Attributes(), 0)
	record.SetDroppedAttributesCount(d.count())
	record.SetFlags(plog.LogRecordFlags(d.count()))
	record.SetTraceID(d.traceID())
	record.SetSpanID(d.spanID())
	record.SetEventName(d.text())
}
