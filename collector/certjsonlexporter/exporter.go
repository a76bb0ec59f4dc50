package certjsonlexporter // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter"

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// lineExporter makes a line of each request. Its two signals share the file.
type lineExporter struct {
	files    *files
	config   *Config
	settings component.TelemetrySettings
	lines    lineWriter
}

// options leave out a timeout: a write that was begun ends, and its result is what counts. Giving up
// on it would mean a second copy at the next try.
func (e *lineExporter) options() []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}),
		exporterhelper.WithRetry(e.config.RetryConfig),
		exporterhelper.WithQueue(e.config.QueueConfig),
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown),
	}
}

func (e *lineExporter) start(context.Context, component.Host) error {
	var err error
	e.lines, err = e.files.acquire(e.config, e.settings)
	return err
}

func (e *lineExporter) shutdown(context.Context) error {
	if e.lines == nil {
		return nil
	}
	e.lines = nil
	return e.files.release(e.config)
}

func (e *lineExporter) pushTraces(_ context.Context, traces ptrace.Traces) error {
	line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
	return e.append(line, err)
}

func (e *lineExporter) pushLogs(_ context.Context, logs plog.Logs) error {
	line, err := (&plog.JSONMarshaler{}).MarshalLogs(logs)
	return e.append(line, err)
}

func (e *lineExporter) append(line []byte, err error) error {
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	return e.lines.append(line)
}
