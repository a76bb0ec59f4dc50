//go:generate mdatagen metadata.yaml

// Package certjsonlexporter appends OTLP JSON lines to a file and syncs it before it reports success.
//
// exporter.go makes the lines, journal.go brings them to disk: exports at the same time share one sync.
// `cert` and every other reader of OTLP JSON lines reads the file.
package certjsonlexporter // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter"
