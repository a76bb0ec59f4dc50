package certscoreprocessor // import "github.com/cert-otel/cert-otel/collector/certscoreprocessor"

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	scorerv1 "github.com/cert-otel/cert-otel/collector/proto/cert/scorer/v1"
)

// Names of src/cert_otel/semconv.py; tests/collector/test_names.py compares them.
const (
	attrStatus       = "cert.score.status"
	attrReason       = "cert.score.reason"
	attrPerplexity   = "cert.trajectory.perplexity"
	attrEntropyMean  = "cert.trajectory.entropy_mean"
	attrEntropyMax   = "cert.trajectory.entropy_max"
	attrSurpriseRate = "cert.trajectory.surprise_rate"
	attrEnergyMax    = "cert.trajectory.energy_max"
	attrSteps        = "cert.trajectory.steps"
	attrTokens       = "cert.trajectory.tokens"
	attrFlags        = "cert.trajectory.flags"
	attrEnergy       = "cert.hamiltonian.energy"
	attrKinetic      = "cert.hamiltonian.kinetic"
	attrPotential    = "cert.hamiltonian.potential"
	attrModel        = "cert.scorer.model"
	attrRevision     = "cert.scorer.revision"

	evaluationPrefix = "cert.evaluation."
	scoreSuffix      = ".score"
	labelSuffix      = ".label"
)

const (
	outcomeScored   = "scored"
	outcomeSkipped  = "skipped"
	outcomeError    = "error"
	outcomeDeferred = "deferred"

	reasonNone    = "none"
	reasonPending = "pending"
)

type spanKey struct {
	trace pcommon.TraceID
	span  pcommon.SpanID
}

// tally counts spans by what they left with.
type tally map[string]int64

// setScores sets on each span what came back for it; one that nothing came back for is deferred.
func setScores(spans []ptrace.Span, scores []*scorerv1.SpanScore, reason string) tally {
	byKey := make(map[spanKey]*scorerv1.SpanScore, len(scores))
	for _, score := range scores {
		if len(score.GetTraceId()) == 16 && len(score.GetSpanId()) == 8 {
			key := spanKey{pcommon.TraceID(score.GetTraceId()), pcommon.SpanID(score.GetSpanId())}
			byKey[key] = score
		}
	}
	counts := tally{}
	for _, span := range spans {
		counts[setScore(span, byKey[spanKey{span.TraceID(), span.SpanID()}], reason)]++
	}
	return counts
}

func setScore(span ptrace.Span, score *scorerv1.SpanScore, reason string) string {
	attributes := span.Attributes()
	outcome := outcomeOf(score.GetStatus())
	if outcome == outcomeDeferred {
		markDeferred(attributes, reason)
		return outcome
	}
	attributes.PutStr(attrStatus, outcome)
	putText(attributes, attrReason, score.GetReason())
	putText(attributes, attrModel, score.GetScorer())
	putText(attributes, attrRevision, score.GetRevision())
	setTrajectory(attributes, score)
	for _, evaluation := range score.GetEvaluations() {
		setEvaluation(attributes, evaluation)
	}
	return outcome
}

func outcomeOf(status scorerv1.Status) string {
	switch status {
	case scorerv1.Status_STATUS_SCORED:
		return outcomeScored
	case scorerv1.Status_STATUS_SKIPPED:
		return outcomeSkipped
	case scorerv1.Status_STATUS_ERROR:
		return outcomeError
	default:
		return outcomeDeferred
	}
}

// markDeferred marks a span, unless a collector before this one has its score already.
func markDeferred(attributes pcommon.Map, reason string) {
	if _, known := attributes.Get(attrStatus); !known {
		attributes.PutStr(attrStatus, outcomeDeferred)
		attributes.PutStr(attrReason, reason)
	}
}

func setTrajectory(attributes pcommon.Map, score *scorerv1.SpanScore) {
	putNumber(attributes, attrPerplexity, score.Perplexity)
	putNumber(attributes, attrEntropyMean, score.EntropyMean)
	putNumber(attributes, attrEntropyMax, score.EntropyMax)
	putNumber(attributes, attrSurpriseRate, score.SurpriseRate)
	putNumber(attributes, attrEnergy, score.Energy)
	putNumber(attributes, attrKinetic, score.Kinetic)
	putNumber(attributes, attrPotential, score.Potential)
	putNumber(attributes, attrEnergyMax, score.EnergyMax)
	putCount(attributes, attrSteps, score.Steps)
	putCount(attributes, attrTokens, score.Tokens)
	if flags := score.GetFlags(); len(flags) > 0 {
		list := attributes.PutEmptySlice(attrFlags)
		for _, flag := range flags {
			list.AppendEmpty().SetStr(flag)
		}
	}
}

func setEvaluation(attributes pcommon.Map, evaluation *scorerv1.Evaluation) {
	if evaluation.GetName() == "" {
		return
	}
	prefix := evaluationPrefix + evaluation.GetName()
	putNumber(attributes, prefix+scoreSuffix, evaluation.Score)
	putText(attributes, prefix+labelSuffix, evaluation.GetLabel())
}

// putNumber leaves out what is missing or no number: a backend would show it as 0.
func putNumber(attributes pcommon.Map, name string, value *float64) {
	if value != nil && !math.IsNaN(*value) && !math.IsInf(*value, 0) {
		attributes.PutDouble(name, *value)
	}
}

func putCount(attributes pcommon.Map, name string, value *uint32) {
	if value != nil {
		attributes.PutInt(name, int64(*value))
	}
}

func putText(attributes pcommon.Map, name, value string) {
	if value != "" {
		attributes.PutStr(name, value)
	}
}
