package certjsonlexporter // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter"

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/cert-otel/cert-otel/collector/certjsonlexporter/internal/metadata"
)

// journal lets each sender write its own line, and syncs for all that wait, in one goroutine: the lines
// that come while a sync is under way share the next one.
type journal struct {
	telemetry *metadata.TelemetryBuilder
	closed    chan struct{}

	mutex sync.Mutex
	// changed says that lines wait, that a sync is over, or that the journal closes.
	changed sync.Cond
	file    *lineFile
	group   *group
	syncing bool
	closing bool
}

// group is the lines that share a sync.
type group struct {
	bytes int64
	done  chan struct{}
	err   error
}

func newGroup() *group {
	return &group{done: make(chan struct{})}
}

func (g *group) finish(err error) {
	g.err = err
	close(g.done)
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
	j := &journal{telemetry: telemetry, closed: make(chan struct{}), file: file, group: newGroup()}
	j.changed.L = &j.mutex
	go j.run()
	return j, nil
}

func (j *journal) append(line []byte) error {
	group, err := j.write(line)
	if err != nil {
		return err
	}
	<-group.done
	return group.err
}

// write puts a line behind the others and returns the group whose sync it shares.
func (j *journal) write(line []byte) (*group, error) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if err := j.makeRoom(int64(len(line)) + 1); err != nil {
		return nil, err
	}
	if err := j.file.append(line); err != nil {
		return nil, err
	}
	j.group.bytes += int64(len(line)) + 1
	j.changed.Broadcast()
	return j.group, nil
}

// makeRoom replaces the file where it is full or gone from its path, after all of it is on disk.
func (j *journal) makeRoom(size int64) error {
	for j.syncing && j.file.mustBeReplaced(size) {
		j.changed.Wait()
	}
	if !j.file.mustBeReplaced(size) {
		return nil
	}
	if j.group.bytes > 0 {
		j.finish(j.take(), j.file.sync())
	}
	rotated, err := j.file.replace()
	if rotated {
		j.telemetry.ExporterCertjsonlRotations.Add(context.Background(), 1)
	}
	return err
}

func (j *journal) run() {
	defer close(j.closed)
	j.mutex.Lock()
	defer j.mutex.Unlock()
	for {
		for j.group.bytes == 0 && !j.closing {
			j.changed.Wait()
		}
		if j.group.bytes == 0 {
			return
		}
		j.syncGroup()
	}
}

// syncGroup lets others write while the disk is at work.
func (j *journal) syncGroup() {
	group, end := j.take(), j.file.size
	j.syncing = true
	j.mutex.Unlock()
	start := time.Now()
	err := j.file.datasync()
	took := time.Since(start)
	j.mutex.Lock()
	j.syncing = false
	j.finish(group, j.file.settle(end, err))
	j.telemetry.ExporterCertjsonlCommitDuration.Record(context.Background(), took.Seconds())
	j.changed.Broadcast()
}

func (j *journal) take() *group {
	taken := j.group
	j.group = newGroup()
	return taken
}

// finish tells a group's senders what became of their lines. An error is that of the lines behind
// them too: the file was cut before all of them.
func (j *journal) finish(done *group, err error) {
	ctx := context.Background()
	if err == nil {
		j.telemetry.ExporterCertjsonlCommits.Add(ctx, 1)
		j.telemetry.ExporterCertjsonlBytes.Add(ctx, done.bytes)
	} else if j.group.bytes > 0 {
		j.take().finish(err)
	}
	done.finish(err)
}

func (j *journal) close() error {
	j.mutex.Lock()
	j.closing = true
	j.changed.Broadcast()
	j.mutex.Unlock()
	<-j.closed
	j.telemetry.Shutdown()
	return j.file.close()
}
