package certscoreprocessor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/cert-otel/cert-otel/collector/certscoreprocessor/internal/metadata"
)

// webSpans are what a web application sends: 512 spans of 25 attributes, none of a model, 2 kB each.
func webSpans() ptrace.Traces {
	traces := chatSpans(512)
	for _, span := range allSpans(traces) {
		span.Attributes().Clear()
		for index := range 25 {
			name := fmt.Sprintf("http.request.header.x-%02d", index)
			span.Attributes().PutStr(name, strings.Repeat("v", 50))
		}
	}
	return traces
}

// BenchmarkOtherSpans is the processor alone on a batch that is none of its business.
func BenchmarkOtherSpans(b *testing.B) {
	p, err := newProcessor(testConfig("127.0.0.1:1"), processortest.NewNopSettings(metadata.Type))
	require.NoError(b, err)
	traces := webSpans()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = p.process(b.Context(), traces)
	}
	b.ReportMetric(float64(traces.SpanCount()*b.N)/b.Elapsed().Seconds(), "spans/s")
}

// BenchmarkThroughputShare decodes, passes on and encodes the same batches with and without the
// processor, by turns, and reports the throughput with it as a share of that without, by the clock
// and by processor time.
func BenchmarkThroughputShare(b *testing.B) {
	payload, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(webSpans())
	require.NoError(b, err)
	end, err := consumer.NewTraces(func(_ context.Context, traces ptrace.Traces) error {
		_, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
		return err
	})
	require.NoError(b, err)
	set := processortest.NewNopSettings(metadata.Type)
	p, err := NewFactory().CreateTraces(b.Context(), set, testConfig("127.0.0.1:1"), end)
	require.NoError(b, err)
	require.NoError(b, p.Start(b.Context(), componenttest.NewNopHost()))
	defer func() { _ = p.Shutdown(context.Background()) }()
	var without, with turns
	for b.Loop() { // by turns, and neither always first
		without.pass(b, payload, end)
		with.pass(b, payload, p)
		with.pass(b, payload, p)
		without.pass(b, payload, end)
	}
	b.ReportMetric(median(without.wall)/median(with.wall), "share")
	b.ReportMetric(median(without.cpu)/median(with.cpu), "cpu-share")
	b.ReportMetric(batchesATurn*512/median(with.wall), "spans/s")
}

const batchesATurn = 20

type turns struct {
	wall, cpu []time.Duration
}

func (t *turns) pass(b *testing.B, payload []byte, next consumer.Traces) {
	b.Helper()
	start, cpu := time.Now(), cpuTime(b)
	for range batchesATurn {
		traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(payload)
		require.NoError(b, err)
		require.NoError(b, next.ConsumeTraces(b.Context(), traces))
	}
	t.wall = append(t.wall, time.Since(start))
	t.cpu = append(t.cpu, cpuTime(b)-cpu)
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func median(times []time.Duration) float64 {
	slices.Sort(times)
	return times[len(times)/2].Seconds()
}

// BenchmarkScoredSpans is a batch of GenAI spans, sent to a scorer that answers at once.
func BenchmarkScoredSpans(b *testing.B) {
	scorer := &fakeScorer{answer: scoreAll, forget: true}
	endpoint := serve(b, scorer)
	set := processortest.NewNopSettings(metadata.Type)
	p, err := NewFactory().CreateTraces(b.Context(), set, testConfig(endpoint), consumertest.NewNop())
	require.NoError(b, err)
	require.NoError(b, p.Start(b.Context(), componenttest.NewNopHost()))
	defer func() { _ = p.Shutdown(context.Background()) }()
	traces := chatSpans(512)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, p.ConsumeTraces(b.Context(), traces))
	}
	b.ReportMetric(float64(512*b.N)/b.Elapsed().Seconds(), "spans/s")
}
