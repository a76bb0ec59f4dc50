package certscoreprocessor

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/golden"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/ptracetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/cert-otel/cert-otel/collector/certscoreprocessor/internal/metadata"
	"github.com/cert-otel/cert-otel/collector/certscoreprocessor/internal/metadatatest"
	scorerv1 "github.com/cert-otel/cert-otel/collector/proto/cert/scorer/v1"
)

// answerMixed scores the first span, skips the second and has nothing for the third.
func answerMixed(_ context.Context, traces ptrace.Traces) (*scorerv1.SubmitResponse, error) {
	spans := allSpans(traces)
	scored := scoreOf(spans[0], scorerv1.Status_STATUS_SCORED)
	scored.Perplexity, scored.EntropyMean = proto.Float64(2.5), proto.Float64(0)
	scored.Energy, scored.Steps, scored.Tokens = proto.Float64(-0.5), proto.Uint32(3), proto.Uint32(40)
	scored.EntropyMax = proto.Float64(math.NaN())
	scored.Flags = []string{"perplexity"}
	scored.Scorer, scored.Revision = "reference", "1"
	scored.Evaluations = []*scorerv1.Evaluation{
		{Name: "grounding", Score: proto.Float64(0.75), Label: "pass"},
		{Name: "semantic", Label: "unknown"},
	}
	skipped := scoreOf(spans[1], scorerv1.Status_STATUS_SKIPPED)
	skipped.Reason = "no_content"
	return &scorerv1.SubmitResponse{Scores: []*scorerv1.SpanScore{skipped, scored}, Deferred: 1}, nil
}

// Golden: scores, a skip with its reason and a deferral are set on their spans; all else is as it was.
func TestScoresAreSetOnTheirSpans(t *testing.T) {
	scorer := &fakeScorer{answer: answerMixed}
	p, sink := startProcessor(t, testConfig(serve(t, scorer)))
	input, err := golden.ReadTraces(filepath.Join("testdata", "mixed", "input.yaml"))
	require.NoError(t, err)

	require.NoError(t, p.ConsumeTraces(t.Context(), input))

	path := filepath.Join("testdata", "mixed", "output.yaml")
	expected, err := golden.ReadTraces(path)
	require.NoError(t, err)
	require.NoError(t, ptracetest.CompareTraces(expected, sink.AllTraces()[0]))
}

// The scorer sees the GenAI spans alone, under their resource and scope.
func TestOnlyGenAISpansAreSubmitted(t *testing.T) {
	scorer := &fakeScorer{answer: answerMixed}
	p, _ := startProcessor(t, testConfig(serve(t, scorer)))
	input, err := golden.ReadTraces(filepath.Join("testdata", "mixed", "input.yaml"))
	require.NoError(t, err)

	require.NoError(t, p.ConsumeTraces(t.Context(), input))

	expected, err := golden.ReadTraces(filepath.Join("testdata", "mixed", "submitted.yaml"))
	require.NoError(t, err)
	require.NoError(t, ptracetest.CompareTraces(expected, scorer.received[0]))
}

// A batch without GenAI spans asks nobody and is the same batch afterwards.
func TestOtherSpansPassUntouched(t *testing.T) {
	scorer := &fakeScorer{answer: scoreAll}
	p, sink := startProcessor(t, testConfig(serve(t, scorer)))
	sent := testdata.GenerateTraces(5)
	before := ptrace.NewTraces()
	sent.CopyTo(before)

	require.NoError(t, p.ConsumeTraces(t.Context(), sent))

	assert.Equal(t, before, sink.AllTraces()[0])
	assert.Equal(t, 0, scorer.calls())
}

// Past the wait a span goes on as deferred, and the scorer was told to answer before that.
func TestPastTheWaitSpansAreDeferred(t *testing.T) {
	scorer := &fakeScorer{answer: func(ctx context.Context, _ ptrace.Traces) (*scorerv1.SubmitResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	config := testConfig(serve(t, scorer))
	config.Wait = 300 * time.Millisecond
	p, sink := startProcessor(t, config)

	require.NoError(t, p.ConsumeTraces(t.Context(), chatSpans(2)))

	assert.Equal(t, []string{"deferred", "deferred"}, statuses(sink.AllTraces()[0]))
	assertReason(t, sink.AllTraces()[0], "timeout")
	scorer.mutex.Lock()
	defer scorer.mutex.Unlock()
	assert.LessOrEqual(t, scorer.budgets[0], config.Wait)
	assert.Less(t, scorer.waits[0], config.Wait)
	assert.Positive(t, scorer.waits[0])
}

func assertReason(t *testing.T, traces ptrace.Traces, reason string) {
	t.Helper()
	for _, span := range allSpans(traces) {
		value, _ := span.Attributes().Get(attrReason)
		assert.Equal(t, reason, value.AsString())
	}
}

// Whatever the scorer answers, the spans go on, and say what was wrong.
func TestErrorsOfTheScorerDropNothing(t *testing.T) {
	for reason, code := range map[string]codes.Code{
		"unavailable": codes.Unavailable,
		"overloaded":  codes.ResourceExhausted,
		"refused":     codes.Unauthenticated,
		"timeout":     codes.DeadlineExceeded,
		"cancelled":   codes.Canceled,
	} {
		t.Run(reason, func(t *testing.T) {
			scorer := &fakeScorer{answer: func(context.Context, ptrace.Traces) (*scorerv1.SubmitResponse, error) {
				return nil, status.Error(code, "as told")
			}}
			p, sink := startProcessor(t, testConfig(serve(t, scorer)))

			require.NoError(t, p.ConsumeTraces(t.Context(), chatSpans(3)))

			assert.Equal(t, []string{"deferred", "deferred", "deferred"}, statuses(sink.AllTraces()[0]))
			assertReason(t, sink.AllTraces()[0], reason)
		})
	}
}

// A scorer that is not there costs no span.
func TestWithoutAScorerSpansGoOn(t *testing.T) {
	config := testConfig("127.0.0.1:1")
	p, sink := startProcessor(t, config)

	require.NoError(t, p.ConsumeTraces(t.Context(), chatSpans(1)))

	assert.Equal(t, []string{"deferred"}, statuses(sink.AllTraces()[0]))
	assertReason(t, sink.AllTraces()[0], "unavailable")
}

// What comes back for a span that was not sent, or without ids, is set on none.
func TestStrangeScoresAreIgnored(t *testing.T) {
	scorer := &fakeScorer{answer: func(context.Context, ptrace.Traces) (*scorerv1.SubmitResponse, error) {
		return &scorerv1.SubmitResponse{Scores: []*scorerv1.SpanScore{
			nil, {}, {TraceId: make([]byte, 16), SpanId: make([]byte, 8), Status: scorerv1.Status_STATUS_SCORED},
		}}, nil
	}}
	p, sink := startProcessor(t, testConfig(serve(t, scorer)))

	require.NoError(t, p.ConsumeTraces(t.Context(), chatSpans(1)))

	assert.Equal(t, []string{"deferred"}, statuses(sink.AllTraces()[0]))
}

// A score that a collector before this one set is not replaced by a deferral.
func TestADeferralReplacesNoScore(t *testing.T) {
	p, sink := startProcessor(t, testConfig("127.0.0.1:1"))
	traces := chatSpans(1)
	allSpans(traces)[0].Attributes().PutStr(attrStatus, "scored")

	require.NoError(t, p.ConsumeTraces(t.Context(), traces))

	assert.Equal(t, []string{"scored"}, statuses(sink.AllTraces()[0]))
}

// No more than max_in_flight batches are at the scorer; the one too many is deferred.
func TestPlacesAreBounded(t *testing.T) {
	release := make(chan struct{})
	scorer := &fakeScorer{answer: func(ctx context.Context, traces ptrace.Traces) (*scorerv1.SubmitResponse, error) {
		<-release
		return scoreAll(ctx, traces)
	}}
	config := testConfig(serve(t, scorer))
	config.MaxInFlight = 1
	p, sink := startProcessor(t, config)
	var first sync.WaitGroup
	first.Go(func() { assert.NoError(t, p.ConsumeTraces(t.Context(), chatSpans(1))) })
	require.Eventually(t, func() bool { return scorer.calls() == 1 }, 5*time.Second, time.Millisecond)

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.NoError(t, p.ConsumeTraces(short, chatSpans(1)))
	close(release)
	first.Wait()

	assert.Equal(t, 1, scorer.calls())
	assert.Equal(t, []string{"deferred"}, statuses(sink.AllTraces()[0]))
	assert.Equal(t, []string{"scored"}, statuses(sink.AllTraces()[1]))
}

// A scorer that is away for a moment is asked again within the wait.
func TestUnavailableIsRetried(t *testing.T) {
	scorer := &fakeScorer{}
	scorer.answer = func(ctx context.Context, traces ptrace.Traces) (*scorerv1.SubmitResponse, error) {
		if scorer.calls() == 1 {
			return nil, status.Error(codes.Unavailable, "starting")
		}
		return scoreAll(ctx, traces)
	}
	p, sink := startProcessor(t, testConfig(serve(t, scorer)))

	require.NoError(t, p.ConsumeTraces(t.Context(), chatSpans(1)))

	assert.Equal(t, []string{"scored"}, statuses(sink.AllTraces()[0]))
}

// A scorer that stays away is soon asked once a batch only: gRPC's retry throttling.
func TestRetriesAreThrottled(t *testing.T) {
	scorer := &fakeScorer{answer: func(context.Context, ptrace.Traces) (*scorerv1.SubmitResponse, error) {
		return nil, status.Error(codes.Unavailable, "down")
	}}
	p, _ := startProcessor(t, testConfig(serve(t, scorer)))
	const batches = 100

	for range batches {
		require.NoError(t, p.ConsumeTraces(t.Context(), chatSpans(1)))
	}

	assert.Less(t, scorer.calls(), batches+maxTokens)
}

// Order, number and all other content of the spans stay, whatever the scorer does.
func TestNothingIsDroppedOrReordered(t *testing.T) {
	scorer := &fakeScorer{}
	scorer.answer = func(ctx context.Context, traces ptrace.Traces) (*scorerv1.SubmitResponse, error) {
		if scorer.calls()%3 == 0 {
			return nil, errors.New("no")
		}
		return scoreAll(ctx, traces)
	}
	p, sink := startProcessor(t, testConfig(serve(t, scorer)))

	for range 30 {
		require.NoError(t, p.ConsumeTraces(t.Context(), chatSpans(40)))
	}

	expected := allSpans(chatSpans(40))
	require.Len(t, sink.AllTraces(), 30)
	for _, traces := range sink.AllTraces() {
		spans := allSpans(traces)
		require.Len(t, spans, len(expected))
		for index, span := range spans {
			assert.Equal(t, expected[index].SpanID(), span.SpanID())
		}
	}
}

func TestSpansAreCountedByOutcome(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	settings := processortest.NewNopSettings(metadata.Type)
	settings.TelemetrySettings = telemetry.NewTelemetrySettings()
	scorer := &fakeScorer{answer: answerMixed}
	p, _ := startWith(t, testConfig(serve(t, scorer)), settings)

	require.NoError(t, p.ConsumeTraces(t.Context(), chatSpans(3)))

	point := func(outcome, reason string) metricdata.DataPoint[int64] {
		return metricdata.DataPoint[int64]{Value: 1, Attributes: attribute.NewSet(
			attribute.String("outcome", outcome), attribute.String("reason", reason),
		)}
	}
	metadatatest.AssertEqualProcessorCertscoreSpans(t, telemetry, []metricdata.DataPoint[int64]{
		point("scored", "none"), point("skipped", "none"), point("deferred", "pending"),
	}, metricdatatest.IgnoreTimestamp())
}

func TestShutdown(t *testing.T) {
	processortest.VerifyShutdown(t, NewFactory(), testConfig("127.0.0.1:1"))
}
