package certscoreprocessor

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"google.golang.org/grpc"

	"github.com/cert-otel/cert-otel/collector/certscoreprocessor/internal/metadata"
	scorerv1 "github.com/cert-otel/cert-otel/collector/proto/cert/scorer/v1"
)

// fakeScorer answers as it is told and keeps what it was sent.
type fakeScorer struct {
	scorerv1.UnimplementedScorerServer
	answer func(context.Context, ptrace.Traces) (*scorerv1.SubmitResponse, error)
	forget bool

	mutex    sync.Mutex
	received []ptrace.Traces
	waits    []time.Duration
	budgets  []time.Duration
}

func (f *fakeScorer) Submit(
	ctx context.Context, request *scorerv1.SubmitRequest,
) (*scorerv1.SubmitResponse, error) {
	export := ptraceotlp.NewExportRequest()
	if err := export.UnmarshalProto(request.GetOtlpTraces()); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	f.mutex.Lock()
	if !f.forget {
		f.received = append(f.received, export.Traces())
	}
	f.waits = append(f.waits, request.GetWait().AsDuration())
	f.budgets = append(f.budgets, time.Until(deadline))
	f.mutex.Unlock()
	return f.answer(ctx, export.Traces())
}

func (f *fakeScorer) calls() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return len(f.received)
}

func serve(t testing.TB, scorer *fakeScorer) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	scorerv1.RegisterScorerServer(server, scorer)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return listener.Addr().String()
}

func testConfig(endpoint string) *Config {
	config := createDefaultConfig().(*Config)
	config.Endpoint = endpoint
	config.TLS.Insecure = true
	config.Wait = 10 * time.Second
	return config
}

func startProcessor(t *testing.T, config *Config) (processor.Traces, *consumertest.TracesSink) {
	t.Helper()
	return startWith(t, config, processortest.NewNopSettings(metadata.Type))
}

func startWith(
	t *testing.T, config *Config, settings processor.Settings,
) (processor.Traces, *consumertest.TracesSink) {
	t.Helper()
	sink := &consumertest.TracesSink{}
	p, err := NewFactory().CreateTraces(t.Context(), settings, config, sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, p.Shutdown(context.Background())) })
	return p, sink
}

func chatSpans(count int) ptrace.Traces {
	traces := ptrace.NewTraces()
	spans := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for index := range count {
		span := spans.AppendEmpty()
		span.SetTraceID([16]byte{1})
		span.SetSpanID([8]byte{byte(index >> 8), byte(index), 1})
		span.SetName("chat")
		span.Attributes().PutStr("gen_ai.operation.name", "chat")
	}
	return traces
}

func allSpans(traces ptrace.Traces) []ptrace.Span {
	var spans []ptrace.Span
	for _, resource := range traces.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				spans = append(spans, span)
			}
		}
	}
	return spans
}

func scoreOf(span ptrace.Span, status scorerv1.Status) *scorerv1.SpanScore {
	trace, id := span.TraceID(), span.SpanID()
	return &scorerv1.SpanScore{TraceId: trace[:], SpanId: id[:], Status: status}
}

func scoreAll(_ context.Context, traces ptrace.Traces) (*scorerv1.SubmitResponse, error) {
	response := &scorerv1.SubmitResponse{}
	for _, span := range allSpans(traces) {
		response.Scores = append(response.Scores, scoreOf(span, scorerv1.Status_STATUS_SCORED))
	}
	return response, nil
}

func statuses(traces ptrace.Traces) []string {
	var found []string
	for _, span := range allSpans(traces) {
		value, _ := span.Attributes().Get(attrStatus)
		found = append(found, value.AsString())
	}
	return found
}
