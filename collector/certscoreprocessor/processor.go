package certscoreprocessor // import "github.com/cert-otel/cert-otel/collector/certscoreprocessor"

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/cert-otel/cert-otel/collector/certscoreprocessor/internal/metadata"
	scorerv1 "github.com/cert-otel/cert-otel/collector/proto/cert/scorer/v1"
)

type scoreProcessor struct {
	config     *Config
	settings   component.TelemetrySettings
	telemetry  *metadata.TelemetryBuilder
	places     chan struct{}
	connection *grpc.ClientConn
	client     scorerv1.ScorerClient
}

func newProcessor(config *Config, set processor.Settings) (*scoreProcessor, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &scoreProcessor{
		config:    config,
		settings:  set.TelemetrySettings,
		telemetry: telemetry,
		places:    make(chan struct{}, config.MaxInFlight),
	}, nil
}

// start connects in the background: a scorer that is not there delays nothing.
func (p *scoreProcessor) start(ctx context.Context, host component.Host) error {
	service, err := serviceConfig(p.config.BalancerName)
	if err != nil {
		return err
	}
	p.connection, err = p.config.ToClientConn(
		ctx, host.GetExtensions(), p.settings,
		configgrpc.WithGrpcDialOption(grpc.WithDefaultServiceConfig(service)),
	)
	if err != nil {
		return err
	}
	p.client = scorerv1.NewScorerClient(p.connection)
	return nil
}

func (p *scoreProcessor) shutdown(context.Context) error {
	p.telemetry.Shutdown()
	if p.connection == nil {
		return nil
	}
	return p.connection.Close()
}

// process holds a batch that has GenAI spans until its scores are there or the wait is over.
func (p *scoreProcessor) process(ctx context.Context, traces ptrace.Traces) (ptrace.Traces, error) {
	spans := findGenAI(traces)
	if len(spans) == 0 {
		return traces, nil
	}
	start := time.Now()
	scores, reason := p.score(ctx, traces, len(spans))
	p.count(ctx, setScores(spans, scores, reason), reason, time.Since(start))
	return traces, nil
}

func (p *scoreProcessor) score(
	ctx context.Context, traces ptrace.Traces, found int,
) ([]*scorerv1.SpanScore, string) {
	ctx, cancel := context.WithTimeout(ctx, p.config.Wait)
	defer cancel()
	chosen := traces
	if found < traces.SpanCount() {
		chosen = copyGenAI(traces)
	}
	payload, err := ptraceotlp.NewExportRequestFromTraces(chosen).MarshalProto()
	if err != nil {
		return nil, p.explain(err)
	}
	return p.submit(ctx, payload)
}

const reasonRefused = "refused"

// explain logs what the user has to change: a refusal is no outage, and does not pass by itself.
func (p *scoreProcessor) explain(err error) string {
	reason := reasonOf(err)
	if reason == reasonRefused {
		p.settings.Logger.Warn("the scorer refuses spans; they go on without a score", zap.Error(err))
	}
	return reason
}

func (p *scoreProcessor) count(ctx context.Context, counts tally, reason string, waited time.Duration) {
	p.telemetry.ProcessorCertscoreSubmitDuration.Record(ctx, waited.Seconds())
	for outcome, spans := range counts {
		why := reasonNone
		if outcome == outcomeDeferred {
			why = reason
		}
		p.telemetry.ProcessorCertscoreSpans.Add(ctx, spans, metric.WithAttributes(
			attribute.String("outcome", outcome), attribute.String("reason", why),
		))
	}
}
