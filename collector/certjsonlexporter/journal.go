package certjsonlexporter // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter"

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/cert-otel/cert-otel/collector/certjsonlexporter/internal/metadata"
)

var errClosed = errors.New("the exporter is shut down")

// journal gathers lines that come at the same time and commits them together, in one goroutine.
type journal struct {
	file      *lineFile
	telemetry *metadata.TelemetryBuilder
	logger    *zap.Logger
	requests  chan request
	closing   chan struct{}
	closed    chan struct{}
}

type request struct {
	line []byte
	done chan error
}

func openJournal(path string, maxBytes int64, settings component.TelemetrySettings) (*journal, error) {
	telemetry, err := metadata.NewTelemetryBuilder(settings)
	if err != nil {
		return nil, err
	}
	file, cut, err := openLineFile(path, maxBytes)
	if err != nil {
		telemetry.Shutdown()
		return nil, err
	}
	if cut > 0 {
		settings.Logger.Warn("cut a torn line, which was never acknowledged",
			zap.String("path", path), zap.Int64("bytes", cut))
	}
	j := &journal{
		file: file, telemetry: telemetry, logger: settings.Logger,
		requests: make(chan request), closing: make(chan struct{}), closed: make(chan struct{}),
	}
	go j.run()
	return j, nil
}

func (j *journal) append(line []byte) error {
	done := make(chan error, 1)
	select {
	case j.requests <- request{line, done}:
		return <-done
	case <-j.closing:
		return errClosed
	}
}

func (j *journal) close() error {
	close(j.closing)
	<-j.closed
	j.telemetry.Shutdown()
	return j.file.close()
}

func (j *journal) run() {
	defer close(j.closed)
	for {
		select {
		case first := <-j.requests:
			waiting := j.gather(first)
			err := j.commit(waiting)
			for _, one := range waiting {
				one.done <- err
			}
		case <-j.closing:
			return
		}
	}
}

// gather takes the lines that wait already: they came while the last commit was under way.
func (j *journal) gather(first request) []request {
	waiting := []request{first}
	for len(waiting) < maxLines {
		select {
		case next := <-j.requests:
			waiting = append(waiting, next)
		default:
			return waiting
		}
	}
	return waiting
}

func (j *journal) commit(waiting []request) error {
	ctx := context.Background()
	start := time.Now()
	lines := make([][]byte, len(waiting))
	for index, one := range waiting {
		lines[index] = one.line
	}
	rotated, size, err := j.file.write(lines)
	if rotated {
		j.telemetry.ExporterCertjsonlRotations.Add(ctx, 1)
	}
	if err != nil {
		return err
	}
	j.telemetry.ExporterCertjsonlCommitDuration.Record(ctx, time.Since(start).Seconds())
	j.telemetry.ExporterCertjsonlCommits.Add(ctx, 1)
	j.telemetry.ExporterCertjsonlBytes.Add(ctx, size)
	return nil
}
