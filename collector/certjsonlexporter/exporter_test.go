package certjsonlexporter

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/plogtest"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/ptracetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/cert-otel/cert-otel/collector/certjsonlexporter/internal/metadata"
	"github.com/cert-otel/cert-otel/collector/certjsonlexporter/internal/metadatatest"
)

func testConfig(t *testing.T) *Config {
	t.Helper()
	config := createDefaultConfig().(*Config)
	config.Path = filepath.Join(t.TempDir(), "trail.jsonl")
	config.RetryConfig.InitialInterval = time.Millisecond
	return config
}

func start(t *testing.T, part component.Component) {
	t.Helper()
	require.NoError(t, part.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { assert.NoError(t, part.Shutdown(context.Background())) })
}

func startTraces(t *testing.T, config *Config) exporter.Traces {
	t.Helper()
	e, err := NewFactory().CreateTraces(t.Context(), exportertest.NewNopSettings(metadata.Type), config)
	require.NoError(t, err)
	start(t, e)
	return e
}

func readLines(t *testing.T, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	if len(text) == 0 {
		return nil
	}
	require.Equal(t, byte('\n'), text[len(text)-1], "the file ends with a whole line")
	return bytes.Split(text[:len(text)-1], []byte{'\n'})
}

// Success means that the line is in the file: one line a batch, as pdata writes OTLP JSON.
func TestTracesAreLines(t *testing.T) {
	config := testConfig(t)
	e := startTraces(t, config)
	sent := testdata.GenerateTraces(3)

	require.NoError(t, e.ConsumeTraces(t.Context(), sent))
	require.NoError(t, e.ConsumeTraces(t.Context(), testdata.GenerateTraces(1)))

	lines := readLines(t, config.Path)
	require.Len(t, lines, 2)
	read, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(lines[0])
	require.NoError(t, err)
	require.NoError(t, ptracetest.CompareTraces(sent, read))
}

// Traces and logs of one configuration go to one file.
func TestSignalsShareTheFile(t *testing.T) {
	config := testConfig(t)
	factory, settings := NewFactory(), exportertest.NewNopSettings(metadata.Type)
	traces, err := factory.CreateTraces(t.Context(), settings, config)
	require.NoError(t, err)
	logs, err := factory.CreateLogs(t.Context(), settings, config)
	require.NoError(t, err)
	start(t, traces)
	start(t, logs)

	require.NoError(t, traces.ConsumeTraces(t.Context(), testdata.GenerateTraces(1)))
	require.NoError(t, logs.ConsumeLogs(t.Context(), testdata.GenerateLogs(2)))

	lines := readLines(t, config.Path)
	require.Len(t, lines, 2)
	read, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(lines[1])
	require.NoError(t, err)
	require.NoError(t, plogtest.CompareLogs(testdata.GenerateLogs(2), read))
}

// Concurrent exports are all there, each a line of its own.
func TestConcurrentExportsAreWholeLines(t *testing.T) {
	config := testConfig(t)
	e := startTraces(t, config)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for range 25 {
				assert.NoError(t, e.ConsumeTraces(t.Context(), testdata.GenerateTraces(2)))
			}
		})
	}
	senders.Wait()

	lines := readLines(t, config.Path)
	require.Len(t, lines, 200)
	for _, line := range lines {
		_, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		require.NoError(t, err)
	}
}

// The file and its directory are their owner's alone.
func TestFilesAreTheOwners(t *testing.T) {
	config := testConfig(t)
	config.Path = filepath.Join(t.TempDir(), "new", "trail.jsonl")
	startTraces(t, config)

	file, err := os.Stat(config.Path)
	require.NoError(t, err)
	directory, err := os.Stat(filepath.Dir(config.Path))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), file.Mode().Perm())
	assert.Equal(t, os.FileMode(0o700), directory.Mode().Perm())
}

// What is there is kept, but for a last line without an end: nobody was told that it is there.
func TestTornLinesAreCut(t *testing.T) {
	for name, content := range map[string]struct{ before, after string }{
		"whole":     {"{\"a\":1}\n", "{\"a\":1}\n"},
		"torn":      {"{\"a\":1}\n{\"b\":", "{\"a\":1}\n"},
		"only torn": {"{\"b\":", ""},
		"long torn": {"{\"a\":1}\n" + strings.Repeat("x", 3*tailBlock), "{\"a\":1}\n"},
		"empty":     {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			config := testConfig(t)
			require.NoError(t, os.WriteFile(config.Path, []byte(content.before), 0o600))
			startTraces(t, config)

			text, err := os.ReadFile(config.Path)
			require.NoError(t, err)
			assert.Equal(t, content.after, string(text))
		})
	}
}

// A full file is renamed as `cert` names rotated files; no line is cut and none is lost.
func TestFilesRotateAtLineEnds(t *testing.T) {
	config := testConfig(t)
	config.MaxMB = 0.002
	e := startTraces(t, config)
	for range 20 {
		require.NoError(t, e.ConsumeTraces(t.Context(), testdata.GenerateTraces(1)))
	}

	files, err := filepath.Glob(filepath.Join(filepath.Dir(config.Path), "*.jsonl"))
	require.NoError(t, err)
	require.Greater(t, len(files), 2)
	total, name := 0, regexp.MustCompile(`^trail(\.\d{8}T\d{12}Z)?\.jsonl$`)
	for _, file := range files {
		assert.Regexp(t, name, filepath.Base(file))
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.LessOrEqual(t, info.Size(), int64(2000))
		total += len(readLines(t, file))
	}
	assert.Equal(t, 20, total)
}

// A line longer than the limit goes into a file of its own.
func TestALongLineIsWrittenWhole(t *testing.T) {
	config := testConfig(t)
	config.MaxMB = 0.0001
	e := startTraces(t, config)

	require.NoError(t, e.ConsumeTraces(t.Context(), testdata.GenerateTraces(5)))

	assert.Len(t, readLines(t, config.Path), 1)
}

// A file that somebody moved away or deleted is written anew.
func TestAMovedFileIsReplaced(t *testing.T) {
	config := testConfig(t)
	e := startTraces(t, config)
	require.NoError(t, e.ConsumeTraces(t.Context(), testdata.GenerateTraces(1)))
	require.NoError(t, os.Rename(config.Path, config.Path+".1"))
	require.NoError(t, e.ConsumeTraces(t.Context(), testdata.GenerateTraces(1)))
	require.NoError(t, os.Remove(config.Path))

	require.NoError(t, e.ConsumeTraces(t.Context(), testdata.GenerateTraces(1)))

	assert.Len(t, readLines(t, config.Path+".1"), 1)
	assert.Len(t, readLines(t, config.Path), 1)
}

// A path that cannot be written stops the start, and the error names it.
func TestAPathThatCannotBeWrittenIsNamed(t *testing.T) {
	config := testConfig(t)
	require.NoError(t, os.Mkdir(config.Path, 0o700))
	e, err := NewFactory().CreateTraces(t.Context(), exportertest.NewNopSettings(metadata.Type), config)
	require.NoError(t, err)

	err = e.Start(t.Context(), componenttest.NewNopHost())

	require.ErrorContains(t, err, config.Path)
	require.NoError(t, e.Shutdown(t.Context()))
}

// Two writers of one file would cut each other's lines: the second does not start.
func TestASecondWriterIsRefused(t *testing.T) {
	config := testConfig(t)
	startTraces(t, config)
	second, err := NewFactory().CreateTraces(t.Context(), exportertest.NewNopSettings(metadata.Type), config)
	require.NoError(t, err)

	err = second.Start(t.Context(), componenttest.NewNopHost())

	require.ErrorContains(t, err, "another writer")
	require.NoError(t, second.Shutdown(t.Context()))
}

func openTestFile(t *testing.T) *lineFile {
	t.Helper()
	file, _, err := openLineFile(filepath.Join(t.TempDir(), "trail.jsonl"), 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.close()) })
	return file
}

// A line that cannot be written leaves nothing behind, and the next one is whole.
func TestAFailedWriteLeavesNothing(t *testing.T) {
	file := openTestFile(t)
	require.NoError(t, file.append([]byte("{\"a\":1}")))
	writable := file.file
	readable, err := os.Open(file.path)
	require.NoError(t, err)
	file.file = readable
	require.Error(t, file.append([]byte("{\"b\":2}")))
	require.NoError(t, readable.Close())

	_, err = writable.WriteString("{\"torn")
	require.NoError(t, err)
	file.file = writable
	require.NoError(t, file.append([]byte("{\"c\":3}")))

	assert.Equal(t, [][]byte{[]byte("{\"a\":1}"), []byte("{\"c\":3}")}, readLines(t, file.path))
}

// A sync that fails takes back what is not on disk for certain, and no more.
func TestAFailedSyncTakesLinesBack(t *testing.T) {
	file := openTestFile(t)
	require.NoError(t, file.append([]byte("{\"a\":1}")))
	require.NoError(t, file.sync())
	require.NoError(t, file.append([]byte("{\"b\":2}")))
	require.ErrorIs(t, file.settle(file.size, syscall.EIO), syscall.EIO)
	require.NoError(t, file.append([]byte("{\"c\":3}")))

	assert.Equal(t, [][]byte{[]byte("{\"a\":1}"), []byte("{\"c\":3}")}, readLines(t, file.path))
}

// The senders of a group that failed are told, and so are those that wrote behind it.
func TestAFailedGroupIsAnErrorForAll(t *testing.T) {
	settings := exportertest.NewNopSettings(metadata.Type).TelemetrySettings
	j, err := openJournal(filepath.Join(t.TempDir(), "trail.jsonl"), 0, settings)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.close()) })
	j.mutex.Lock()
	first := j.take()
	first.bytes = 8
	j.group.bytes = 8
	second := j.group

	j.finish(first, syscall.EIO)
	j.mutex.Unlock()

	require.ErrorIs(t, first.err, syscall.EIO)
	require.ErrorIs(t, second.err, syscall.EIO)
	require.NoError(t, j.append([]byte("{}")))
}

func TestBytesAreCounted(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	settings := exportertest.NewNopSettings(metadata.Type)
	settings.TelemetrySettings = telemetry.NewTelemetrySettings()
	config := testConfig(t)
	e, err := NewFactory().CreateTraces(t.Context(), settings, config)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))

	require.NoError(t, e.ConsumeTraces(t.Context(), testdata.GenerateTraces(1)))

	info, err := os.Stat(config.Path)
	require.NoError(t, err)
	metadatatest.AssertEqualExporterCertjsonlBytes(t, telemetry,
		[]metricdata.DataPoint[int64]{{Value: info.Size()}}, metricdatatest.IgnoreTimestamp())
	require.NoError(t, e.Shutdown(t.Context()))
}

// Shared with Python: lines that wire/ writes are read here and come out the same.
func TestLinesOfTheReadersAreReadBack(t *testing.T) {
	for _, line := range readLines(t, filepath.Join("..", "testdata", "from_wire.jsonl")) {
		traces, err := (&ptrace.JSONUnmarshaler{DisallowUnknownFields: true}).UnmarshalTraces(line)
		require.NoError(t, err)
		written, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
		require.NoError(t, err)
		again, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(written)
		require.NoError(t, err)
		require.NoError(t, ptracetest.CompareTraces(traces, again))
		assert.Positive(t, traces.SpanCount())
	}
}

// Shared with Python: the file that wire/ is tested with is what this exporter writes.
func TestSharedLinesAreWhatIsWritten(t *testing.T) {
	config := testConfig(t)
	e := startTraces(t, config)
	for _, line := range readLines(t, filepath.Join("..", "testdata", "from_wire.jsonl")) {
		traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		require.NoError(t, err)
		require.NoError(t, e.ConsumeTraces(t.Context(), traces))
	}

	shared := filepath.Join("..", "testdata", "from_certjsonl.jsonl")
	written, err := os.ReadFile(config.Path)
	require.NoError(t, err)
	if os.Getenv("UPDATE_VECTORS") != "" {
		require.NoError(t, os.WriteFile(shared, written, 0o644))
	}
	expected, err := os.ReadFile(shared)
	require.NoError(t, err)
	assert.Equal(t, string(expected), string(written))
}

func ExampleNewFactory() {
	fmt.Println(NewFactory().Type())
	// Output: certjsonl
}
