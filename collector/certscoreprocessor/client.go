package certscoreprocessor // import "github.com/cert-otel/cert-otel/collector/certscoreprocessor"

import (
	"context"
	"encoding/json"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	scorerv1 "github.com/cert-otel/cert-otel/collector/proto/cert/scorer/v1"
)

// Retries stop when the tokens are half gone: each failure costs one, each success gives a tenth
// back. Of maxTokens 10 and 100, only 100 let 20 of 20 requests through to a server that fails
// every other call.
const (
	maxAttempts = 3
	maxTokens   = 100
	tokenRatio  = 0.1
)

// serviceConfig is what gRPC is told of retries; balancer is the policy that the user names, if any.
func serviceConfig(balancer string) (string, error) {
	config := map[string]any{
		"methodConfig": []any{map[string]any{
			"name": []any{map[string]any{"service": scorerv1.Scorer_ServiceDesc.ServiceName}},
			"retryPolicy": map[string]any{
				"maxAttempts":          maxAttempts,
				"initialBackoff":       "0.01s",
				"maxBackoff":           "0.1s",
				"backoffMultiplier":    2,
				"retryableStatusCodes": []string{"UNAVAILABLE"},
			},
		}},
		"retryThrottling": map[string]any{"maxTokens": maxTokens, "tokenRatio": tokenRatio},
	}
	if balancer != "" {
		config["loadBalancingConfig"] = []any{map[string]any{balancer: map[string]any{}}}
	}
	text, err := json.Marshal(config)
	return string(text), err
}

// wayShare is the part of the wait that is for the way to the scorer and back.
const wayShare = 5

// submit returns the scores that are ready before the context's deadline, and why the others are not.
func (p *scoreProcessor) submit(ctx context.Context, payload []byte) ([]*scorerv1.SpanScore, string) {
	select {
	case p.places <- struct{}{}:
		defer func() { <-p.places }()
	case <-ctx.Done():
		return nil, reasonOf(ctx.Err())
	}
	p.telemetry.ProcessorCertscoreInFlight.Add(ctx, 1)
	defer p.telemetry.ProcessorCertscoreInFlight.Add(ctx, -1)
	request := &scorerv1.SubmitRequest{OtlpTraces: payload, Wait: durationpb.New(waitBefore(ctx))}
	response, err := p.client.Submit(ctx, request)
	if err != nil {
		return nil, p.explain(err)
	}
	return response.GetScores(), reasonPending
}

func waitBefore(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(deadline)
	return max(0, left-left/wayShare)
}

// reasonOf puts an error into one of the few words that `cert.score.reason` has for it.
func reasonOf(err error) string {
	switch status.FromContextError(err).Code() {
	case codes.DeadlineExceeded:
		return "timeout"
	case codes.Canceled:
		return "cancelled"
	}
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return "timeout"
	case codes.Canceled:
		return "cancelled"
	case codes.Unavailable:
		return "unavailable"
	case codes.ResourceExhausted:
		return "overloaded"
	default:
		return reasonRefused
	}
}
