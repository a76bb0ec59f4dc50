package certjsonlexporter

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

const (
	benchSpans   = 512
	benchSenders = 16
	benchRequest = 16 // of each sender in a round: the last sync, for which all wait, is a hundredth of it
)

// callSpans are 512 spans of 25 attributes, 2 kB each.
func callSpans() ptrace.Traces {
	traces := ptrace.NewTraces()
	spans := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for index := range benchSpans {
		span := spans.AppendEmpty()
		span.SetTraceID([16]byte{1})
		span.SetSpanID([8]byte{byte(index >> 8), byte(index), 1})
		span.SetName("chat gpt-4o")
		for attribute := range 25 {
			span.Attributes().PutStr(fmt.Sprintf("gen_ai.attribute.%02d", attribute), strings.Repeat("v", 50))
		}
	}
	return traces
}

func startBench(b *testing.B, factory exporter.Factory, config component.Config) exporter.Traces {
	b.Helper()
	set := exportertest.NewNopSettings(factory.Type())
	set.ID = component.NewID(factory.Type())
	e, err := factory.CreateTraces(b.Context(), set, config)
	require.NoError(b, err)
	require.NoError(b, e.Start(b.Context(), componenttest.NewNopHost()))
	b.Cleanup(func() { require.NoError(b, e.Shutdown(context.Background())) })
	return e
}

// rounds are the times of one exporter's turns: by the clock until all was acknowledged, and until it
// was on disk, and by the processors.
type rounds struct {
	wall, onDisk, cpu []time.Duration
}

// send has several senders at work at once, as a receiver has.
func (r *rounds) send(b *testing.B, e exporter.Traces, payload []byte) {
	b.Helper()
	start, cpu := time.Now(), cpuTime(b)
	var senders sync.WaitGroup
	for range benchSenders {
		senders.Go(func() {
			for range benchRequest {
				traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(payload)
				if err == nil {
					err = e.ConsumeTraces(b.Context(), traces)
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	senders.Wait()
	r.wall = append(r.wall, time.Since(start))
	r.cpu = append(r.cpu, cpuTime(b)-cpu)
	syscall.Sync()
	r.onDisk = append(r.onDisk, time.Since(start))
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func median(times []time.Duration) float64 {
	slices.Sort(times)
	return times[len(times)/2].Seconds()
}

// BenchmarkAgainstFile receives and writes the same batches through this exporter, synced, and through
// contrib's file exporter, not synced, by turns, and reports the ratio of their throughputs: of what is
// acknowledged, and of what is on disk.
func BenchmarkAgainstFile(b *testing.B) {
	folder := b.TempDir()
	ours := createDefaultConfig().(*Config)
	ours.Path = filepath.Join(folder, "certjsonl.jsonl")
	theirs := fileexporter.NewFactory().CreateDefaultConfig().(*fileexporter.Config)
	theirs.Path = filepath.Join(folder, "file.jsonl")
	theirs.FlushInterval = time.Second
	theirs.Rotation = nil
	synced := startBench(b, NewFactory(), ours)
	buffered := startBench(b, fileexporter.NewFactory(), theirs)
	payload, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(callSpans())
	require.NoError(b, err)
	var oursTook, theirsTook rounds
	for b.Loop() { // by turns, and neither always first
		theirsTook.send(b, buffered, payload)
		oursTook.send(b, synced, payload)
		oursTook.send(b, synced, payload)
		theirsTook.send(b, buffered, payload)
	}
	b.ReportMetric(median(theirsTook.wall)/median(oursTook.wall), "ratio")
	b.ReportMetric(median(theirsTook.onDisk)/median(oursTook.onDisk), "on-disk-ratio")
	b.ReportMetric(median(theirsTook.cpu)/median(oursTook.cpu), "cpu-ratio")
	b.ReportMetric(benchSenders*benchRequest*benchSpans/median(oursTook.wall), "spans/s")
}

// BenchmarkLogs is one sender that waits for the disk after each batch of 512 records.
func BenchmarkLogs(b *testing.B) {
	config := createDefaultConfig().(*Config)
	config.Path = filepath.Join(b.TempDir(), "logs.jsonl")
	factory := NewFactory()
	e, err := factory.CreateLogs(b.Context(), exportertest.NewNopSettings(factory.Type()), config)
	require.NoError(b, err)
	require.NoError(b, e.Start(b.Context(), componenttest.NewNopHost()))
	defer func() { _ = e.Shutdown(context.Background()) }()
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for range benchSpans {
		record := records.AppendEmpty()
		record.SetEventName("gen_ai.evaluation.result")
		record.Attributes().PutDouble("gen_ai.evaluation.score.value", 0.5)
	}
	for b.Loop() {
		require.NoError(b, e.ConsumeLogs(b.Context(), logs))
	}
	b.ReportMetric(float64(benchSpans*b.N)/b.Elapsed().Seconds(), "records/s")
}
