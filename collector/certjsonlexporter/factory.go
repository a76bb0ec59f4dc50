package certjsonlexporter // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter"

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/cert-otel/cert-otel/collector/certjsonlexporter/internal/metadata"
)

// NewFactory returns the factory of the exporter.
func NewFactory() exporter.Factory {
	return newFactory(openFile)
}

// newFactory takes how a file is opened, which tests replace.
func newFactory(open opener) exporter.Factory {
	files := newFiles(open)
	return exporter.NewFactory(
		metadata.Type,
		createDefaultConfig,
		exporter.WithTraces(files.createTraces, metadata.TracesStability),
		exporter.WithLogs(files.createLogs, metadata.LogsStability),
	)
}

func (f *files) createTraces(
	ctx context.Context, set exporter.Settings, cfg component.Config,
) (exporter.Traces, error) {
	e := &lineExporter{files: f, config: cfg.(*Config), settings: set.TelemetrySettings}
	return exporterhelper.NewTraces(ctx, set, cfg, e.pushTraces, e.options()...)
}

func (f *files) createLogs(
	ctx context.Context, set exporter.Settings, cfg component.Config,
) (exporter.Logs, error) {
	e := &lineExporter{files: f, config: cfg.(*Config), settings: set.TelemetrySettings}
	return exporterhelper.NewLogs(ctx, set, cfg, e.pushLogs, e.options()...)
}
