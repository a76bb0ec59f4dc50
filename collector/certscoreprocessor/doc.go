//go:generate mdatagen metadata.yaml

// Package certscoreprocessor sets the scores of the CERT scorer service on GenAI spans.
//
// It knows nothing about scoring: marks.go picks the spans, client.go submits them and waits a
// bounded time, scores.go sets what came back. Everything passes on, whatever happens.
package certscoreprocessor // import "github.com/cert-otel/cert-otel/collector/certscoreprocessor"
