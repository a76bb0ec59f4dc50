package certscoreprocessor

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Shared with Python: what tells of a model there does so here.
func TestMarksAreThoseOfTheReaders(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "marks.json"))
	require.NoError(t, err)
	var vectors struct {
		Spans []struct {
			Attributes []string
			Model      bool
		}
	}
	require.NoError(t, json.Unmarshal(text, &vectors))
	require.NotEmpty(t, vectors.Spans)
	for _, vector := range vectors.Spans {
		attributes := pcommon.NewMap()
		for _, name := range vector.Attributes {
			attributes.PutStr(name, "x")
		}
		assert.Equal(t, vector.Model, tellsOfModel(attributes), vector.Attributes)
	}
}

// Every call that an instrumentation of another vendor recorded is found.
func TestSpansOfEveryPeerAreFound(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "tests", "wire", "golden", "*", "spans.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		for _, traces := range readLines(t, file) {
			assert.NotEmpty(t, findGenAI(traces), file)
		}
	}
}

func readLines(t *testing.T, path string) []ptrace.Traces {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	var all []ptrace.Traces
	for lines.Scan() {
		traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(lines.Bytes())
		require.NoError(t, err)
		all = append(all, traces)
	}
	require.NoError(t, lines.Err())
	return all
}
