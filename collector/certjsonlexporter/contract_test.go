package certjsonlexporter

import (
	"context"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/collector/receiver"

	"github.com/cert-otel/cert-otel/collector/certjsonlexporter/internal/metadata"
)

// disk stands for the file: it hands each line to the checker, whose errors are those of a disk.
type disk struct {
	component.StartFunc
	component.ShutdownFunc
	traces consumer.Traces
	logs   consumer.Logs
}

func (d *disk) append(line []byte) error {
	if d.traces != nil {
		traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		if err != nil {
			return err
		}
		return d.traces.ConsumeTraces(context.Background(), traces)
	}
	logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
	if err != nil {
		return err
	}
	return d.logs.ConsumeLogs(context.Background(), logs)
}

func (*disk) close() error { return nil }

func (d *disk) factory() receiver.Factory {
	return receiver.NewFactory(
		component.MustNewType("disk"),
		func() component.Config { return struct{}{} },
		receiver.WithTraces(func(
			_ context.Context, _ receiver.Settings, _ component.Config, next consumer.Traces,
		) (receiver.Traces, error) {
			d.traces = next
			return d, nil
		}, metadata.TracesStability),
		receiver.WithLogs(func(
			_ context.Context, _ receiver.Settings, _ component.Config, next consumer.Logs,
		) (receiver.Logs, error) {
			d.logs = next
			return d, nil
		}, metadata.LogsStability),
	)
}

// Every line arrives once, or was refused for good: the checker of the collector itself.
func TestConsumeContract(t *testing.T) {
	for _, signal := range []pipeline.Signal{pipeline.SignalTraces, pipeline.SignalLogs} {
		t.Run(signal.String(), func(t *testing.T) {
			d := &disk{}
			exportertest.CheckConsumeContract(exportertest.CheckConsumeContractParams{
				T:                    t,
				NumberOfTestElements: 50,
				Signal:               signal,
				ExporterFactory: newFactory(func(*Config, component.TelemetrySettings) (lineWriter, error) {
					return d, nil
				}),
				ExporterConfig:  testConfig(t),
				ReceiverFactory: d.factory(),
				ReceiverConfig:  struct{}{},
			})
		})
	}
}
