package certjsonlexporter // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter"

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/cert-otel/cert-otel/collector/certjsonlexporter/internal/otlpjson"
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
	return e.append(func(b []byte) []byte { return otlpjson.AppendTraces(b, traces) })
}

func (e *lineExporter) pushLogs(_ context.Context, logs plog.Logs) error {
	return e.append(func(b []byte) []byte { return otlpjson.AppendLogs(b, logs) })
}

// buffers keeps room for lines: a request is a megabyte, often.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func (e *lineExporter) append(appendLine func([]byte) []byte) error {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	*buffer = appendLine((*buffer)[:0])
	return e.lines.append(*buffer)
}
